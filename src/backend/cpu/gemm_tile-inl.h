// The micro-kernel: a tile of C held in registers. See gemm_vector-inl.h for how it is included.
//
// Shape. kMr × kNv accumulators, kNv vectors of B and one broadcast of A must fit the register
// file, and the kMr·kNv FMAs per step must outweigh its kMr + kNv loads: two FMAs and two loads
// start per cycle, and latency (4) × 2 FMAs asks for at least 8 chains. 32 registers (AVX-512,
// NEON): 8 × 3, 24 FMAs to 11 loads. 16 registers (AVX2): 6 × 2, 12 to 8.
#pragma once

#include "backend/cpu/gemm_kernels.h"
#include "backend/cpu/gemm_vector-inl.h"

namespace stepstone::cpu {
namespace {

#if HWY_TARGET == HWY_AVX2
inline constexpr int kMr = 6, kNv = 2;
#else
inline constexpr int kMr = 8, kNv = 3;
#endif
inline constexpr int kNr = kNv * kLanes<Full>;
static_assert(kMr <= kMaxTileRows && kNr <= kMaxPanelColumns);

// B is prefetched this far ahead, for the lines that other traffic has driven out of L2. Not by
// short tiles: they read B from memory, where the processor does better alone.
inline constexpr int kStepsAhead = 32, kShortRows = 2;

using Vector = hn::Vec<Full>;

// Sums of a tile, from registers where they were added up.
template <int MR, int NV>
struct Sums {
  Vector at[MR][NV];
};

inline float load_f32(const std::byte* from) {
  float value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}

// One step of a panel: which B vectors, times which unit of A.
struct F32Step {
  template <int MR, int NV>
  HWY_INLINE static void run(Sums<MR, NV>& sums, const std::byte* const* a, std::ptrdiff_t at,
                             std::ptrdiff_t, const std::byte* b) {
    const Full d;
    Vector columns[NV];
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) {
      columns[v] = hn::Load(d, reinterpret_cast<const float*>(b) + v * kLanes<Full>);
    }
#pragma GCC unroll 8
    for (int i = 0; i < MR; ++i) {
      const Vector value = hn::Set(d, load_f32(a[i] + at));
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) {
        sums.at[i][v] = hn::MulAdd(value, columns[v], sums.at[i][v]);
      }
    }
  }
  static constexpr int kUnits = 1;  // of A per step
};

template <typename T>
struct WidenPairsStep {
  template <int MR, int NV>
  HWY_INLINE static void run(Sums<MR, NV>& sums, const std::byte* const* a, std::ptrdiff_t at,
                             std::ptrdiff_t a_step, const std::byte* b) {
    const Full d;
    const U32<Full> du;
    Vector columns[NV];
#pragma GCC unroll 8
    for (int half = 0; half < 2; ++half) {
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) {
        const auto pairs =
            hn::Load(du, reinterpret_cast<const std::uint32_t*>(b) + v * kLanes<Full>);
        columns[v] = half == 0 ? lower_of<T>(d, pairs) : upper_of<T>(d, pairs);
      }
#pragma GCC unroll 8
      for (int i = 0; i < MR; ++i) {
        const Vector value = hn::Set(d, load_f32(a[i] + at + half * a_step));
#pragma GCC unroll 8
        for (int v = 0; v < NV; ++v) {
          sums.at[i][v] = hn::MulAdd(value, columns[v], sums.at[i][v]);
        }
      }
    }
  }
  static constexpr int kUnits = 2;
};

// t = [add +] sum [+ bias], rounded if C is bf16. `sums` is a tile of kNr columns in memory.
void finish(const Tile& t, const float* sums) {
  const Full d;
  const bool add_bf16 = t.add_dtype == DType::bf16, c_bf16 = t.c_dtype == DType::bf16;
  const std::ptrdiff_t add_size = add_bf16 ? 2 : 4, c_size = c_bf16 ? 2 : 4;
  for (int i = 0; i < t.rows; ++i) {
    const std::byte* add = t.add == nullptr ? nullptr : t.add + i * t.add_row;
    std::byte* c = t.c + i * t.c_row;
    const float* sum = sums + i * kNr;
    int j = 0;
    for (; j + kLanes<Full> <= t.cols; j += kLanes<Full>) {
      Vector value = hn::Load(d, sum + j);
      if (add != nullptr) {
        const Vector old = add_bf16 ? load_bf16(d, add + j * 2)
                                    : hn::LoadU(d, reinterpret_cast<const float*>(add + j * 4));
        value = hn::Add(old, value);
      }
      if (t.bias != nullptr) value = hn::Add(value, hn::LoadU(d, t.bias + j));
      if (c_bf16) {
        store_bf16(d, round_to_bf16(d, value), c + j * 2);
      } else {
        hn::StoreU(value, d, reinterpret_cast<float*>(c + j * 4));
      }
    }
    for (; j < t.cols; ++j) {
      float value = sum[j];
      if (add != nullptr) {
        const std::byte* old = add + j * add_size;
        value = (add_bf16 ? static_cast<float>(*reinterpret_cast<const bf16*>(old))
                          : *reinterpret_cast<const float*>(old)) +
                value;
      }
      if (t.bias != nullptr) value += t.bias[j];
      if (c_bf16) {
        *reinterpret_cast<bf16*>(c + j * c_size) = bf16(value);
      } else {
        *reinterpret_cast<float*>(c + j * c_size) = value;
      }
    }
  }
}

template <typename Step, int MR, int NV>
void multiply_tile(const Tile& t) {
  const Full d;
  Sums<MR, NV> sums;
  const std::byte* a[MR];
#pragma GCC unroll 8
  for (int i = 0; i < MR; ++i) {
    a[i] = t.a + i * t.a_row;
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) sums.at[i][v] = hn::Zero(d);
  }
  const std::byte* b = t.b;
  std::ptrdiff_t at = 0;
  const auto step = [&]() __attribute__((always_inline)) {
#pragma GCC unroll 8
    for (int v = 0; v < NV && MR > kShortRows; ++v) {
      __builtin_prefetch(b + kStepsAhead * kNr * 4 + v * 64);
    }
    Step::template run<MR, NV>(sums, a, at, t.a_step, b);
    at += Step::kUnits * t.a_step;
    b += kNr * 4;
  };
  std::int64_t left = t.steps;
  // `count` lines from `line` on: one(line) fetches a line and returns the next.
  const auto fetch = [&](const std::byte* line, std::int64_t count, auto one) {
    count = left / kStepsPerLine < count ? left / kStepsPerLine : count;
    left -= count * kStepsPerLine;
    for (std::int64_t i = 0; i < count; ++i) {
      line = one(line);
#pragma GCC unroll 8
      for (int u = 0; u < kStepsPerLine; ++u) step();
    }
  };
  const std::byte* last = t.c + (MR - 1) * t.c_row;
  fetch(t.c, MR * NV, [&](const std::byte* line) {
    __builtin_prefetch(line, 1);
    if (line != last) return line + t.c_row;
    last += 64;
    return line + 64 - (MR - 1) * t.c_row;
  });
  for (int r = 0; r < t.runs; ++r) {
    const std::ptrdiff_t stride = t.ahead[r].step;
    fetch(t.ahead[r].from, kRunLines, [&](const std::byte* line) {
      __builtin_prefetch(line);
      return line + stride;
    });
  }
  for (; left > 0; --left) step();
  const bool plain = t.cols == NV * kLanes<Full> && t.bias == nullptr && t.c_dtype == DType::f32 &&
                     t.add_dtype == DType::f32;
  if (!plain) {
    alignas(64) float tile[MR * kNr];
#pragma GCC unroll 8
    for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) hn::Store(sums.at[i][v], d, tile + i * kNr + v * kLanes<Full>);
    }
    finish(t, tile);
    return;
  }
#pragma GCC unroll 8
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) {
      float* c = reinterpret_cast<float*>(t.c + i * t.c_row) + v * kLanes<Full>;
      Vector value = sums.at[i][v];
      if (t.add != nullptr) {
        const auto* add = reinterpret_cast<const float*>(t.add + i * t.add_row);
        value = hn::Add(hn::LoadU(d, add + v * kLanes<Full>), value);
      }
      hn::StoreU(value, d, c);
    }
  }
}

// Calls the tile kernel of t.rows rows and just enough vectors for t.cols.
template <typename Step, int MR = kMr, int NV = kNv>
void multiply(const Tile& t) {
  if constexpr (MR > 1) {
    if (t.rows < MR) return multiply<Step, MR - 1, NV>(t);
  }
  if constexpr (NV > 1) {
    if (t.cols <= (NV - 1) * kLanes<Full>) return multiply<Step, MR, NV - 1>(t);
  }
  multiply_tile<Step, MR, NV>(t);
}

}  // namespace
}  // namespace stepstone::cpu
