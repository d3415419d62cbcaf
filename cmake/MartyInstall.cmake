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

# The program writes its own manual pages and completions, from the tables that it reads its flags by.
if(TARGET marty_cli AND NOT CMAKE_CROSSCOMPILING AND NOT MARTY_SANITIZE AND NOT MARTY_FUZZ AND NOT MARTY_COVERAGE)
  set(share ${CMAKE_BINARY_DIR}/share)
  add_custom_command(OUTPUT ${share}/made DEPENDS marty_cli VERBATIM
    COMMAND ${CMAKE_COMMAND} -E rm -rf ${share}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${share}/man
    COMMAND marty_cli man ${share}/man
    COMMAND marty_cli completion bash > ${share}/marty.bash
    COMMAND marty_cli completion zsh > ${share}/_marty
    COMMAND marty_cli completion fish > ${share}/marty.fish
    COMMAND ${CMAKE_COMMAND} -E touch ${share}/made
    COMMENT "Writing manual pages and completions")
  add_custom_target(marty_share ALL DEPENDS ${share}/made)
  install(DIRECTORY ${share}/man/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 FILES_MATCHING PATTERN "*.1")
  install(FILES ${share}/marty.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME marty)
  install(FILES ${share}/_marty DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
  install(FILES ${share}/marty.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
endif()
