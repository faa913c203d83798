#include "quant/dequantize.h"

#include <bit>
#include <cstring>

#include "core/dtype.h"
#include "core/error.h"
#include "core/threads.h"
#include "quant/blocks.h"

namespace stepstone {
namespace {

constexpr std::int64_t kGrain = 16384;  // elements: a multiple of every block

template <typename Value>
void nibbles(const std::uint8_t* qs, float* out, Value&& value) {
  for (int j = 0; j < 16; ++j) {
    out[j] = value(qs[j] & 15, j);
    out[j + 16] = value(qs[j] >> 4, j + 16);
  }
}

void decode(const BlockQ4_0& b, float* out) {
  const float d = half_to_float(b.d);
  nibbles(b.qs, out, [=](int q, int) { return d * static_cast<float>(q - 8); });
}

void decode(const BlockQ4_1& b, float* out) {
  const float d = half_to_float(b.d), m = half_to_float(b.m);
  nibbles(b.qs, out, [=](int q, int) { return d * static_cast<float>(q) + m; });
}

int fifth_bit(const std::uint8_t* qh, int j) { return ((qh[j / 8] >> (j % 8)) & 1) << 4; }

void decode(const BlockQ5_0& b, float* out) {
  const float d = half_to_float(b.d);
  nibbles(b.qs, out,
          [&](int q, int j) { return d * static_cast<float>((q | fifth_bit(b.qh, j)) - 16); });
}

void decode(const BlockQ5_1& b, float* out) {
  const float d = half_to_float(b.d), m = half_to_float(b.m);
  nibbles(b.qs, out,
          [&](int q, int j) { return d * static_cast<float>(q | fifth_bit(b.qh, j)) + m; });
}

void decode(const BlockQ8_0& b, float* out) {
  const float d = half_to_float(b.d);
  for (int j = 0; j < 32; ++j) out[j] = d * static_cast<float>(b.qs[j]);
}

void decode(const BlockIQ4_NL& b, float* out) {
  const float d = half_to_float(b.d);
  nibbles(b.qs, out, [=](int q, int) { return d * kCodebookIq4[static_cast<std::size_t>(q)]; });
}

void decode(const BlockMXFP4& b, float* out) {
  const float d = mxfp4_scale(b.e);
  nibbles(b.qs, out, [=](int q, int) { return d * kCodebookMxfp4[static_cast<std::size_t>(q)]; });
}

void decode(const BlockQ2_K& b, float* out) {
  const float d = half_to_float(b.d), dmin = half_to_float(b.dmin);
  for (int i = 0; i < 256; ++i) {
    const int scale = b.scales[i / 16];
    const int q = (b.qs[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2)) & 3;
    out[i] = d * static_cast<float>(scale & 15) * static_cast<float>(q) -
             dmin * static_cast<float>(scale >> 4);
  }
}

void decode(const BlockQ3_K& b, float* out) {
  const float d = half_to_float(b.d);
  for (int i = 0; i < 256; ++i) {
    const int low = (b.qs[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2)) & 3;
    const int q = low | (((b.hmask[i % 32] >> (i / 32)) & 1) << 2);
    out[i] = d * static_cast<float>(q3_scale(b.scales, i / 16) - 32) * static_cast<float>(q - 4);
  }
}

void decode(const BlockQ4_K& b, float* out) {
  const float d = half_to_float(b.d), dmin = half_to_float(b.dmin);
  for (int j = 0; j < 8; ++j) {
    const auto [scale, min] = scale_min(b.scales, j);
    const float s = d * scale, m = dmin * min;
    for (int i = 0; i < 32; ++i) {
      const int q = (b.qs[j / 2 * 32 + i] >> (j % 2 * 4)) & 15;
      out[32 * j + i] = s * static_cast<float>(q) - m;
    }
  }
}

void decode(const BlockQ5_K& b, float* out) {
  const float d = half_to_float(b.d), dmin = half_to_float(b.dmin);
  for (int j = 0; j < 8; ++j) {
    const auto [scale, min] = scale_min(b.scales, j);
    const float s = d * scale, m = dmin * min;
    for (int i = 0; i < 32; ++i) {
      const int low = (b.qs[j / 2 * 32 + i] >> (j % 2 * 4)) & 15;
      const int q = low | (((b.qh[i] >> j) & 1) << 4);
      out[32 * j + i] = s * static_cast<float>(q) - m;
    }
  }
}

void decode(const BlockQ6_K& b, float* out) {
  const float d = half_to_float(b.d);
  for (int h = 0; h < 2; ++h) {
    for (int i = 0; i < 128; ++i) {
      const int low = (b.ql[64 * h + i % 64] >> (i / 64 * 4)) & 15;
      const int high = (b.qh[32 * h + i % 32] >> (i / 32 * 2)) & 3;
      out[128 * h + i] = d * static_cast<float>(b.scales[8 * h + i / 16]) *
                         static_cast<float>((low | (high << 4)) - 32);
    }
  }
}

template <typename Block>
void decode_all(const std::byte* from, std::int64_t count, float* out) {
  for (std::int64_t i = 0; i < count; i += Block::kElements) {
    Block block;
    std::memcpy(&block, from + i / Block::kElements * static_cast<std::int64_t>(sizeof(Block)),
                sizeof(Block));
    decode(block, out + i);
  }
}

void halves(const std::byte* from, std::int64_t count, float* out) {
  for (std::int64_t i = 0; i < count; ++i) {
    Half bits;
    std::memcpy(&bits, from + 2 * i, sizeof bits);
    out[i] = half_to_float(bits);
  }
}

void bfloats(const std::byte* from, std::int64_t count, float* out) {
  for (std::int64_t i = 0; i < count; ++i) {
    bf16 value;
    std::memcpy(&value, from + 2 * i, sizeof value);
    out[i] = static_cast<float>(value);
  }
}

using Decode = void (*)(const std::byte*, std::int64_t, float*);

Decode decoder_of(BlockType type) {
  switch (type) {
    case BlockType::f32:
      return [](const std::byte* from, std::int64_t n, float* out) {
        std::memcpy(out, from, static_cast<std::size_t>(n) * sizeof(float));
      };
    case BlockType::f16:
      return halves;
    case BlockType::bf16:
      return bfloats;
    case BlockType::q4_0:
      return decode_all<BlockQ4_0>;
    case BlockType::q4_1:
      return decode_all<BlockQ4_1>;
    case BlockType::q5_0:
      return decode_all<BlockQ5_0>;
    case BlockType::q5_1:
      return decode_all<BlockQ5_1>;
    case BlockType::q8_0:
      return decode_all<BlockQ8_0>;
    case BlockType::q2_k:
      return decode_all<BlockQ2_K>;
    case BlockType::q3_k:
      return decode_all<BlockQ3_K>;
    case BlockType::q4_k:
      return decode_all<BlockQ4_K>;
    case BlockType::q5_k:
      return decode_all<BlockQ5_K>;
    case BlockType::q6_k:
      return decode_all<BlockQ6_K>;
    case BlockType::iq4_nl:
      return decode_all<BlockIQ4_NL>;
    case BlockType::mxfp4:
      return decode_all<BlockMXFP4>;
    default:
      throw UsageError(fmt::format("{}: is not a type of weights", name_of(type)));
  }
}

}  // namespace

void dequantize(BlockType type, std::span<const std::byte> blocks, std::span<float> out) {
  const Decode decode = decoder_of(type);
  require<UsageError>(blocks.size() == bytes_of(type, out.size()),
                      "dequantize: {} bytes of {} are not {} values", blocks.size(), name_of(type),
                      out.size());
  parallel_for(static_cast<std::int64_t>(out.size()), kGrain,
               [=](std::int64_t begin, std::int64_t end) {
                 decode(blocks.data() + bytes_of(type, static_cast<std::uint64_t>(begin)),
                        end - begin, out.data() + begin);
               });
}

}  // namespace stepstone
