#include "quant/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/dtype.h"
#include "core/threads.h"
#include "quant/fit.h"

namespace stepstone {
namespace quant {

constexpr std::int64_t kGrain = 8192;  // elements: a multiple of every block

// Codes 0..15 or 0..31 of 32 elements, in the nibbles and the fifth bits.
template <typename Code>
static void put_nibbles(std::uint8_t* qs, std::uint8_t* qh, Code&& code) {
  int q[32];
  for (int i = 0; i < 32; ++i) q[i] = static_cast<int>(code(i));
  for (int i = 0; i < 16; ++i) qs[i] = static_cast<std::uint8_t>((q[i] & 15) | (q[i + 16] << 4));
  if (qh == nullptr) return;
  std::fill_n(qh, 4, std::uint8_t{0});
  for (int i = 0; i < 32; ++i) {
    qh[i / 8] = static_cast<std::uint8_t>(qh[i / 8] | ((q[i] >> 4) << (i % 8)));
  }
}

template <typename Block>
static void encode_symmetric(const float* x, Block& b, float half_range, std::uint8_t* qh) {
  const IntegerCodes codes{-half_range, half_range - 1};
  const float d = fit_scale<32>(codes, x, round_to_half);
  b.d = checked_half(d);
  const float id = inverse(d);
  put_nibbles(b.qs, qh, [&](int i) { return codes.nearest(x[i] * id) + half_range; });
}

template <typename Block>
static void encode_affine(const float* x, Block& b, float high, std::uint8_t* qh) {
  const Affine a = fit_affine<32>(high, x, false, [](Affine f) {
    return Affine{round_to_half(f.scale), round_to_half(f.min)};
  });
  b.d = checked_half(a.scale);
  b.m = checked_half(a.min);
  const IntegerCodes codes{0, high};
  const float id = inverse(a.scale);
  put_nibbles(b.qs, qh, [&](int i) { return codes.nearest((x[i] - a.min) * id); });
}

static void encode(const float* x, BlockQ4_0& b) { encode_symmetric(x, b, 8, nullptr); }
static void encode(const float* x, BlockQ5_0& b) { encode_symmetric(x, b, 16, b.qh); }
static void encode(const float* x, BlockQ4_1& b) { encode_affine(x, b, 15, nullptr); }
static void encode(const float* x, BlockQ5_1& b) { encode_affine(x, b, 31, b.qh); }

// 254 levels: searching for the scale gains nothing worth having.
static void encode(const float* x, BlockQ8_0& b) {
  const IntegerCodes codes{-127, 127};
  b.d = checked_half(std::abs(largest<32>(x)) / 127);
  const float id = inverse(half_to_float(b.d));
  for (int i = 0; i < 32; ++i) b.qs[i] = static_cast<std::int8_t>(codes.nearest(x[i] * id));
}

static void encode(const float* x, BlockIQ4_NL& b) {
  const float d = fit_scale<32>(Iq4Codes{}, x, round_to_half);
  b.d = checked_half(d);
  const float id = inverse(d);
  put_nibbles(b.qs, nullptr, [&](int i) {
    const auto code = static_cast<std::int8_t>(Iq4Codes::nearest(x[i] * id));
    return std::ranges::find(kCodebookIq4, code) - kCodebookIq4.begin();
  });
}

// The code nearest to y, a tie going to the smaller magnitude.
static int nearest_mxfp4(float y) {
  int best = 0;
  for (int k = 1; k < 8; ++k) {
    const float middle = 0.5f * static_cast<float>(kCodebookMxfp4[static_cast<std::size_t>(k)] +
                                                   kCodebookMxfp4[static_cast<std::size_t>(k - 1)]);
    best = std::abs(y) > middle ? k : best;
  }
  return y < 0 ? best + 8 : best;
}

static void encode(const float* x, BlockMXFP4& b) {
  const float extreme = std::abs(largest<32>(x));
  // The exponent that the OCP specification derives from the largest value, and its neighbours.
  const int first = extreme == 0 ? 0 : std::ilogb(extreme) - 2 + 127;
  float least = INFINITY;
  for (int e = std::clamp(first - 1, 0, 254); e <= std::clamp(first + 1, 0, 254); ++e) {
    const float d = std::ldexp(1.0f, e - 128), id = std::ldexp(1.0f, 128 - e);
    float error = 0;
    for (int i = 0; i < 32; ++i) {
      const auto q = static_cast<std::size_t>(nearest_mxfp4(x[i] * id));
      error += square(x[i] - d * kCodebookMxfp4[q]);
    }
    if (error < least) {
      least = error;
      b.e = static_cast<std::uint8_t>(e);
    }
  }
  const float id = std::ldexp(1.0f, 128 - b.e);
  put_nibbles(b.qs, nullptr, [&](int i) { return nearest_mxfp4(x[i] * id); });
}

template <typename Block>
static void encode_all(const float* from, std::int64_t count, std::byte* to) {
  for (std::int64_t i = 0; i < count; i += Block::kElements) {
    Block block;
    encode(from + i, block);
    std::memcpy(to + i / Block::kElements * static_cast<std::int64_t>(sizeof(Block)), &block,
                sizeof(Block));
  }
}

static void to_halves(const float* from, std::int64_t count, std::byte* to) {
  for (std::int64_t i = 0; i < count; ++i) {
    const Half bits = float_to_half(from[i]);
    require((bits & 0x7c00) != 0x7c00, "quantize: {} is too large for F16; BF16 holds it", from[i]);
    std::memcpy(to + 2 * i, &bits, sizeof bits);
  }
}

static void to_bfloats(const float* from, std::int64_t count, std::byte* to) {
  for (std::int64_t i = 0; i < count; ++i) {
    const bf16 value(from[i]);
    std::memcpy(to + 2 * i, &value, sizeof value);
  }
}

using Encode = void (*)(const float*, std::int64_t, std::byte*);

static Encode encoder_of(BlockType type) {
  switch (type) {
    case BlockType::f32:
      return [](const float* from, std::int64_t n, std::byte* to) {
        std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(float));
      };
    case BlockType::f16:
      return to_halves;
    case BlockType::bf16:
      return to_bfloats;
    case BlockType::q4_0:
      return encode_all<BlockQ4_0>;
    case BlockType::q4_1:
      return encode_all<BlockQ4_1>;
    case BlockType::q5_0:
      return encode_all<BlockQ5_0>;
    case BlockType::q5_1:
      return encode_all<BlockQ5_1>;
    case BlockType::q8_0:
      return encode_all<BlockQ8_0>;
    case BlockType::q2_k:
      return encode_all<BlockQ2_K>;
    case BlockType::q3_k:
      return encode_all<BlockQ3_K>;
    case BlockType::q4_k:
      return encode_all<BlockQ4_K>;
    case BlockType::q5_k:
      return encode_all<BlockQ5_K>;
    case BlockType::q6_k:
      return encode_all<BlockQ6_K>;
    case BlockType::iq4_nl:
      return encode_all<BlockIQ4_NL>;
    case BlockType::mxfp4:
      return encode_all<BlockMXFP4>;
    default:
      throw UsageError(fmt::format("{}: is not a type of weights", name_of(type)));
  }
}

}  // namespace quant

void quantize(BlockType type, std::span<const float> values, std::span<std::byte> out) {
  const quant::Encode encode = quant::encoder_of(type);
  require<UsageError>(out.size() == bytes_of(type, values.size()),
                      "quantize: {} bytes of {} are not {} values", out.size(), name_of(type),
                      values.size());
  parallel_for(static_cast<std::int64_t>(values.size()), quant::kGrain,
               [=](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin; i < end; ++i) {
                   require(std::isfinite(values[static_cast<std::size_t>(i)]),
                           "quantize: value {} is not finite", i);
                 }
                 encode(values.data() + begin, end - begin,
                        out.data() + bytes_of(type, static_cast<std::uint64_t>(begin)));
               });
}

}  // namespace stepstone
