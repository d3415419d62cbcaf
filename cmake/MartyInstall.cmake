# SPDX-License-Identifier: Apache-2.0
# What `make install` puts where. Modules go to <libdir>/marty/modules, where the library looks for them.
include(CMakePackageConfigHelpers)

install(TARGETS marty EXPORT marty-targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/marty DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")

# Relative to where it lies, so that the prefix may move.
file(RELATIVE_PATH MARTY_PREFIX_FROM_PC ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" MARTY_PREFIX_FROM_PC "${MARTY_PREFIX_FROM_PC}")
configure_file(cmake/marty.pc.in marty.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/marty.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/marty)
install(EXPORT marty-targets NAMESPACE marty:: DESTINATION ${package})
configure_package_config_file(cmake/marty-config.cmake.in marty-config.cmake INSTALL_DESTINATION ${package}
  NO_CHECK_REQUIRED_COMPONENTS_MACRO)
write_basic_package_version_file(marty-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/marty-config.cmake ${CMAKE_BINARY_DIR}/marty-config-version.cmake DESTINATION ${package})

foreach(section 1 3 5 7)
  file(GLOB pages CONFIGURE_DEPENDS docs/man/*.${section})
  if(pages)
    install(FILES ${pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
  endif()
endforeach()
