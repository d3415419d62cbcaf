# SPDX-License-Identifier: Apache-2.0
# How everything is compiled and linked: warnings, hardening, sanitizers, coverage, and what a library exports. Each
# hardening flag is tried first, since compilers differ in what they take (docs/design/0004).
include(CheckCCompilerFlag)
include(CheckLinkerFlag)
include(CheckPIESupported)
check_pie_supported()

# Sources of some folders, without their tests.
function(marty_sources ret_sources)
  set(globs ${ARGN})
  list(TRANSFORM globs APPEND "/*.c")
  file(GLOB sources CONFIGURE_DEPENDS ${globs})
  list(FILTER sources EXCLUDE REGEX "_test\\.c$")
  set(${ret_sources} ${sources} PARENT_SCOPE)
endfunction()

add_library(marty_warnings INTERFACE)
target_compile_options(marty_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef
  -Wcast-qual -Wswitch-enum -Wformat=2 $<$<BOOL:${MARTY_WERROR}>:-Werror> -fno-strict-aliasing)
target_compile_definitions(marty_warnings INTERFACE _GNU_SOURCE MARTY_VERSION="${PROJECT_VERSION}")
target_link_libraries(marty_warnings INTERFACE marty_hardening)

# Not -z nodlopen: backend modules are loaded with dlopen.
add_library(marty_hardening INTERFACE)
set(instrumented OFF)
if(MARTY_SANITIZE OR MARTY_COVERAGE OR MARTY_FUZZ)
  set(instrumented ON)
endif()
set(compile_flags -fstack-clash-protection -fstack-protector-strong -fcf-protection=full -fno-delete-null-pointer-checks
  -fno-strict-overflow -ftrivial-auto-var-init=zero -fstrict-flex-arrays=3 -fzero-init-padding-bits=all -fexceptions
  -Wtrampolines -Wbidi-chars=any -Wimplicit-fallthrough -Werror=format-security -Werror=implicit
  -Werror=incompatible-pointer-types -Werror=int-conversion)
set(link_flags -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,--as-needed)
if(NOT instrumented AND NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
  list(APPEND compile_flags -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
  # gcc on x86 clears a struct by `rep stos`, which takes longer to start than most of ours take to clear.
  list(APPEND compile_flags -mmemset-strategy=unrolled_loop:256:noalign,libcall:-1:noalign)
endif()
foreach(flag ${compile_flags})
  string(MAKE_C_IDENTIFIER "MARTY_HAS${flag}" has)
  set(CMAKE_REQUIRED_FLAGS "-Werror -Wformat -O2")
  check_c_compiler_flag(${flag} ${has})
  if(${has})
    target_compile_options(marty_hardening INTERFACE $<$<COMPILE_LANGUAGE:C>:${flag}>)
  endif()
endforeach()
set(CMAKE_REQUIRED_FLAGS)
foreach(flag ${link_flags})
  string(MAKE_C_IDENTIFIER "MARTY_HAS${flag}" has)
  check_linker_flag(C ${flag} ${has})
  if(${has})
    target_link_options(marty_hardening INTERFACE ${flag})
  endif()
endforeach()

if(MARTY_SANITIZE)
  # What a sanitizer adds hides from gcc what is set; the plain build looks for that.
  target_compile_options(marty_warnings INTERFACE $<$<C_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  add_compile_options(-fsanitize=${MARTY_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${MARTY_SANITIZE})
endif()
if(MARTY_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
endif()
if(MARTY_COVERAGE)
  add_compile_options(--coverage -fprofile-update=atomic)
  add_link_options(--coverage)
endif()

# A library exports what its version script names, and needs nothing that it does not link.
function(marty_exports target map)
  target_link_options(${target} PRIVATE -Wl,--version-script=${CMAKE_SOURCE_DIR}/${map})
  set_target_properties(${target} PROPERTIES LINK_DEPENDS ${CMAKE_SOURCE_DIR}/${map})
  if(NOT MARTY_SANITIZE AND NOT MARTY_FUZZ)
    target_link_options(${target} PRIVATE -Wl,-z,defs)
  endif()
endfunction()

# A program that is installed finds the library beside it, wherever the prefix was moved to.
function(marty_runpath target)
  file(RELATIVE_PATH there ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
  set_target_properties(${target} PROPERTIES INSTALL_RPATH "$ORIGIN/${there}")
endfunction()
