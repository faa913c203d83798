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
  # Time to compile: what AddressSanitizer finds too is not checked twice, and the undefined
  # behaviour looked for is the libraries', not their tests' nor the command line's.
  set(undefined $<$<NOT:$<BOOL:$<TARGET_PROPERTY:STEPSTONE_ADDRESS_ONLY>>>:undefined,>)
  target_compile_options(stepstone_flags INTERFACE
    -fsanitize=${undefined}address -fno-sanitize=null,object-size,vptr
    -fno-sanitize-recover=all -fno-omit-frame-pointer -O1 -g1)
  target_link_options(stepstone_flags INTERFACE -fsanitize=address,undefined)
endif()
if(STEPSTONE_FUZZ)
  target_compile_options(stepstone_flags INTERFACE -fsanitize=fuzzer-no-link -fno-sanitize=function -Wno-error
    -include ${CMAKE_SOURCE_DIR}/tests/fuzz/clang_half.h)
endif()

# Parsing the standard library, fmt and JSON is more than half of what compiling a file costs: each
# kind of target (library, test, program) parses them once. Files still include what they use.
set(STEPSTONE_PCH_HEADERS
  <algorithm> <array> <atomic> <chrono> <cmath> <cstdint> <cstring> <filesystem> <fstream>
  <functional> <map> <memory> <mutex> <numeric> <optional> <random> <set> <span> <sstream> <string>
  <string_view> <thread> <unordered_map> <utility> <variant> <vector>
  <fmt/format.h> <nlohmann/json.hpp>)
function(stepstone_pch kind)  # libraries and extra headers follow
  cmake_parse_arguments(ARG "" "" "DEPS;HEADERS;OPTIONS" ${ARGN})
  set(source ${CMAKE_BINARY_DIR}/generated/pch_${kind}.cpp)
  file(CONFIGURE OUTPUT ${source} CONTENT "")
  add_library(stepstone_pch_${kind} OBJECT ${source})
  target_link_libraries(stepstone_pch_${kind} PRIVATE
    stepstone_flags fmt::fmt nlohmann_json::nlohmann_json Threads::Threads ${ARG_DEPS})
  target_compile_options(stepstone_pch_${kind} PRIVATE ${ARG_OPTIONS})
  target_precompile_headers(stepstone_pch_${kind} PRIVATE ${STEPSTONE_PCH_HEADERS} ${ARG_HEADERS})
endfunction()

# Tests spend their time in the libraries, so they are compiled quickly rather than well.
function(stepstone_test_options target)
  target_compile_options(${target} PRIVATE -O1
    -Wno-array-bounds -Wno-stringop-overflow)  # false alarms of g++ 12 at -O1
  set_target_properties(${target} PROPERTIES STEPSTONE_ADDRESS_ONLY ON)
  target_precompile_headers(${target} REUSE_FROM stepstone_pch_test)
endfunction()

# stepstone_library(<folder> DEPS <targets…> [NO_UNITY])
# The library stepstone_<folder> from every *.cpp below the calling folder; its tests are the
# *_test.cpp files, built into stepstone_<folder>_tests and registered with CTest.
function(stepstone_library name)
  cmake_parse_arguments(ARG "NO_UNITY" "" "DEPS;TEST_DEPS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_test\\.cpp$")
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  add_library(stepstone_${name} STATIC ${sources})
  target_link_libraries(stepstone_${name} PUBLIC stepstone_flags ${ARG_DEPS})
  target_precompile_headers(stepstone_${name} REUSE_FROM stepstone_pch_library)
  if(STEPSTONE_UNITY AND NOT ARG_NO_UNITY)
    # Files compiled as one share what headers and templates cost. g++ takes them for headers.
    set_target_properties(stepstone_${name} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
    target_compile_options(stepstone_${name} PRIVATE -Wno-subobject-linkage)
  endif()
  if(STEPSTONE_TESTS AND tests)
    add_executable(stepstone_${name}_tests ${tests})
    target_link_libraries(stepstone_${name}_tests PRIVATE
      stepstone_${name} ${ARG_TEST_DEPS} GTest::gtest GTest::gmock GTest::gtest_main)
    target_compile_definitions(stepstone_${name}_tests PRIVATE
      STEPSTONE_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
    stepstone_test_options(stepstone_${name}_tests)
    gtest_discover_tests(stepstone_${name}_tests
      TEST_PREFIX "${name}." DISCOVERY_MODE PRE_TEST PROPERTIES LABELS "${name}")
  endif()
endfunction()
