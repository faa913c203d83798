// A row of A to int8. Included by one file per instruction set: see gemm_vector-inl.h.
#pragma once

#include <algorithm>
#include <bit>

#include "backend/cpu/block_kernels.h"
#include "backend/cpu/gemm_vector-inl.h"

namespace stepstone::cpu {
namespace {

// 32 values.
struct Values {
  static constexpr int kParts = 32 / kLanes<Full>;
  Floats part[kParts];
};
HWY_INLINE Values load_values(const QuantizeRow& q, std::int64_t step) {
  Values x;
  for (int i = 0; i < Values::kParts; ++i) {
    const std::int64_t at = step * kStep + i * kLanes<Full>;
    x.part[i] = q.dtype == DType::bf16 ? load_bf16(Full(), static_cast<const bf16*>(q.from) + at)
                                       : hn::LoadU(Full(), static_cast<const float*>(q.from) + at);
  }
  return x;
}

// The first of two passes over a row waits for memory: the second fetches what lies behind the row,
// which in most matrices is the next one.
HWY_INLINE void fetch_next_row(const QuantizeRow& q, std::int64_t step) {
  const auto size = static_cast<std::int64_t>(size_of(q.dtype));
  const auto* from = static_cast<const std::byte*>(q.from) + (q.count + step * kStep) * size;
  for (std::int64_t at = 0; at < kStep * size; at += 64) __builtin_prefetch(from + at);
}

// The largest magnitude, as its bits: those are in the numbers' order, infinity and NaN above all.
HWY_INLINE std::int32_t largest(const Values& x) {
  const Integers di;
  Integer most = hn::Zero(di);
  for (const Floats& part : x.part) most = hn::Max(most, hn::BitCast(di, hn::Abs(part)));
  return hn::GetLane(hn::MaxOfLanes(di, most));
}

// 127 codes to the largest, whose bits are given. NaN if that is not finite, so that a row with an
// infinity or a NaN spoils its results and no others.
struct Steps {
  explicit Steps(std::int32_t most)
      : scale(most < 0x7f800000 ? std::bit_cast<float>(most) / 127.0f : __builtin_nanf("")),
        // Below the smallest normal scale 1 / scale overflows: such values count as zero.
        inverse(scale > 1.2e-38f ? 1.0f / scale : 0.0f) {}
  float scale, inverse;
};

// Codes to the nearest even: of x times a power of two, then times `inverse`.
HWY_INLINE void put_codes(const QuantizeRow& q, std::int64_t step, const Values& x, float power,
                          float inverse) {
  const Full d;
  const Integers di;
  const hn::Rebind<std::int8_t, Full> d8;
  std::int8_t* out = q.codes + step * q.stride;
  for (int i = 0; i < Values::kParts; ++i) {
    const Floats scaled = hn::Mul(hn::Mul(x.part[i], hn::Set(d, power)), hn::Set(d, inverse));
    // Of 0 · infinity a code would be left to the instruction set.
    const Integer code = inverse == 0 ? hn::Zero(di) : hn::NearestInt(scaled);
    hn::StoreU(hn::DemoteTo(d8, code), d8, out + i * kLanes<Full>);
  }
  // Sums of 8 bytes without a sign, 128 too much each.
  const hn::CappedTag<std::uint8_t, 16> bytes;
  const hn::Repartition<std::uint64_t, decltype(bytes)> halves;
  for (int i = 0; i < 2; ++i) {
    const auto codes = hn::LoadU(bytes, reinterpret_cast<const std::uint8_t*>(out) + i * 16);
    const auto sums = hn::SumsOf8(hn::Xor(codes, hn::Set(bytes, 0x80)));
    q.sums[step * 2 + i] =
        static_cast<std::int32_t>(hn::GetLane(hn::SumOfLanes(halves, sums))) - 16 * 128;
  }
}

void quantize_by_block(const QuantizeRow& q) {
  for (std::int64_t step = 0; step < q.count / kStep; ++step) {
    const Values x = load_values(q, step);
    const Steps steps(largest(x));
    q.scales[step] = steps.scale;
    put_codes(q, step, x, 1, steps.inverse);
  }
}

void quantize_by_row(const QuantizeRow& q) {
  std::int32_t most = 0;
  for (std::int64_t step = 0; step < q.count / kStep; ++step) {
    q.halved[step] = largest(load_values(q, step));
    most = std::max(most, q.halved[step]);
  }
  const Steps steps(most);
  q.scales[0] = steps.scale;
  for (std::int64_t step = 0; step < q.count / kStep; ++step) {
    // How often the row's largest can be halved without falling below that of these 32.
    q.halved[step] = std::min((most - q.halved[step]) >> 23, kMaxShift);
    fetch_next_row(q, step);
    put_codes(q, step, load_values(q, step), static_cast<float>(1 << q.halved[step]),
              steps.inverse);
  }
}

void quantize_row(const QuantizeRow& q) { q.halved ? quantize_by_row(q) : quantize_by_block(q); }

}  // namespace
}  // namespace stepstone::cpu
