# Compile flags shared by every target, and the two functions that folders under src/ use.

add_library(stepstone_flags INTERFACE)
target_include_directories(stepstone_flags INTERFACE
  ${CMAKE_SOURCE_DIR}/src ${CMAKE_BINARY_DIR}/generated)
target_compile_options(stepstone_flags INTERFACE -Wall -Wextra -Werror -Wno-psabi)
# Bit-identical results need every build to round alike: no fused contraction behind our back.
target_compile_options(stepstone_flags INTERFACE -ffp-contract=off)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  # The floor is AVX2 (x86-64-v3). Higher instruction sets are picked at run time.
  target_compile_options(stepstone_flags INTERFACE -march=x86-64-v3 -maes -mpclmul -mtune=generic)
  # Highway compiles each kernel for AVX2 and AVX-512 only: AVX3_DL (bit 7), SSE4 and SSSE3 (bits
  # 11, 12 of hwy/detect_targets.h) would cost build time and bring nothing.
  target_compile_definitions(stepstone_flags INTERFACE
    "HWY_DISABLED_TARGETS=((1LL<<7)|(1LL<<11)|(1LL<<12))")
endif()
if(STEPSTONE_SANITIZE)
  target_compile_options(stepstone_flags INTERFACE
    -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -O1)
  target_link_options(stepstone_flags INTERFACE -fsanitize=address,undefined)
endif()

# stepstone_library(<folder> DEPS <targets…>)
# The library stepstone_<folder> from every *.cpp below the calling folder; its tests are the
# *_test.cpp files, built into stepstone_<folder>_tests and registered with CTest.
function(stepstone_library name)
  cmake_parse_arguments(ARG "" "" "DEPS;TEST_DEPS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_test\\.cpp$")
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  add_library(stepstone_${name} STATIC ${sources})
  target_link_libraries(stepstone_${name} PUBLIC stepstone_flags ${ARG_DEPS})
  if(STEPSTONE_TESTS AND tests)
    add_executable(stepstone_${name}_tests ${tests})
    target_link_libraries(stepstone_${name}_tests PRIVATE
      stepstone_${name} ${ARG_TEST_DEPS} GTest::gtest GTest::gmock GTest::gtest_main)
    target_compile_definitions(stepstone_${name}_tests PRIVATE
      STEPSTONE_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
    gtest_discover_tests(stepstone_${name}_tests
      TEST_PREFIX "${name}." DISCOVERY_MODE PRE_TEST PROPERTIES LABELS "${name}")
  endif()
endfunction()
