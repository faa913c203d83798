// clang++ 14 has no _Float16 for processors without its instructions; the fuzz preset includes this
// before every file.
#pragma once

#include <immintrin.h>

struct ClangHalf {
  ClangHalf() = default;
  explicit ClangHalf(float value) : bits(_cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT)) {}
  explicit operator float() const { return _cvtsh_ss(bits); }
  unsigned short bits;
};
#define _Float16 ClangHalf
