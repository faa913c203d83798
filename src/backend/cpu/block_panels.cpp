#include "backend/cpu/block_panels.h"

#include <bit>
#include <cstring>

#include "core/error.h"
#include "core/threads.h"
#include "quant/blocks.h"

namespace stepstone::cpu {
namespace {

// One column of a panel, being written.
class Column {
 public:
  Column(std::byte* panel, const BlockFormat& format, std::int64_t steps, int nr, int j)
      : codes_(panel), scales_(panel + format.code_bytes(steps, nr)), nr_(nr), j_(j) {}

  template <int bits>
  void codes(std::int64_t step, const std::uint8_t* q) {
    std::byte* to = codes_ + (step * bits * nr_ + j_) * 4;
    std::uint32_t group[8];  // four codes, byte by byte
    std::memcpy(group, q, sizeof group);
    if constexpr (bits == 8) {
      for (int g = 0; g < 8; ++g) put(to, g, group[g]);
    }
    if constexpr (bits >= 4 && bits <= 6) {
      for (int c = 0; c < 4; ++c) {
        put(to, c, (group[c] & 0x0f0f0f0f) | ((group[c + 4] & 0x0f0f0f0f) << 4));
      }
    }
    if constexpr (bits == 6) pairs<4>(to, 4, group);
    if constexpr (bits == 2 || bits == 3) pairs<0>(to, 0, group);
    if constexpr (bits == 5) single_bits<4>(to, 4, group);
    if constexpr (bits == 3) single_bits<2>(to, 2, group);
  }
  // Codes of 4 bits that lie in the file as in a panel: k and k + 16 in a byte.
  void nibbles(std::int64_t step, const std::uint8_t* both) {
    std::byte* to = codes_ + (step * 4 * nr_ + j_) * 4;
    for (int c = 0; c < 4; ++c) std::memcpy(to + c * nr_ * 4, both + c * 4, 4);
  }

  // Entry `row` of rows of nr, in rows of T, that begin `bytes` after the scales of the panel.
  template <typename T>
  void scale(std::int64_t bytes, std::int64_t row, T value) {
    std::memcpy(scales_ + bytes + (row * nr_ + j_) * std::ptrdiff_t(sizeof value), &value,
                sizeof value);
  }
  std::int64_t rows(std::int64_t count) const { return count * nr_; }

 private:
  void put(std::byte* to, int chunk, std::uint32_t unit) const {
    std::memcpy(to + chunk * nr_ * 4, &unit, sizeof unit);
  }
  template <int shift>
  void pairs(std::byte* to, int chunk, const std::uint32_t* group) const {
    for (int h = 0; h < 2; ++h) {
      std::uint32_t out = 0;
      for (int g = 0; g < 4; ++g) out |= ((group[h * 4 + g] >> shift) & 0x03030303) << (2 * g);
      put(to, chunk + h, out);
    }
  }
  template <int shift>
  void single_bits(std::byte* to, int chunk, const std::uint32_t* group) const {
    std::uint32_t out = 0;
    for (int g = 0; g < 8; ++g) out |= ((group[g] >> shift) & 0x01010101) << g;
    put(to, chunk, out);
  }

  std::byte* codes_;
  std::byte* scales_;
  int nr_, j_;
};

void nibbles(const std::uint8_t* qs, std::uint8_t* q) {
  for (int j = 0; j < 16; ++j) {
    q[j] = qs[j] & 15;
    q[j + 16] = static_cast<std::uint8_t>(qs[j] >> 4);
  }
}

void fifth_bits(const std::uint8_t* qh, std::uint8_t* q) {
  std::uint32_t bits;
  std::memcpy(&bits, qh, 4);
  for (int j = 0; j < 32; ++j) q[j] |= static_cast<std::uint8_t>(((bits >> j) & 1) << 4);
}

// put(): block `i` of the row that becomes a column.

void put(Column& c, std::int64_t i, const BlockQ8_0& b) {
  std::uint8_t q[32];
  for (int j = 0; j < 32; ++j) q[j] = static_cast<std::uint8_t>(b.qs[j] + 128);
  c.codes<8>(i, q);
  c.scale(0, i, b.d);
}

void put(Column& c, std::int64_t i, const BlockQ4_0& b) {
  c.nibbles(i, b.qs);
  c.scale(0, i, b.d);
}
void put(Column& c, std::int64_t i, const BlockIQ4_NL& b) {
  c.nibbles(i, b.qs);
  c.scale(0, i, b.d);
}
void put(Column& c, std::int64_t i, const BlockQ4_1& b) {
  c.nibbles(i, b.qs);
  c.scale(0, 2 * i, b.d);
  c.scale(0, 2 * i + 1, b.m);
}
void put(Column& c, std::int64_t i, const BlockMXFP4& b) {
  c.nibbles(i, b.qs);
  c.scale(0, i, mxfp4_scale(b.e));
}

template <typename Block>
void put_five_bits(Column& c, std::int64_t i, const Block& b) {
  std::uint8_t q[32];
  nibbles(b.qs, q);
  fifth_bits(b.qh, q);
  c.codes<5>(i, q);
}
void put(Column& c, std::int64_t i, const BlockQ5_0& b) {
  put_five_bits(c, i, b);
  c.scale(0, i, b.d);
}
void put(Column& c, std::int64_t i, const BlockQ5_1& b) {
  put_five_bits(c, i, b);
  c.scale(0, 2 * i, b.d);
  c.scale(0, 2 * i + 1, b.m);
}

void put(Column& c, std::int64_t i, const BlockQ2_K& b) {
  for (int s = 0; s < 8; ++s) {
    std::uint8_t q[32];
    for (int j = 0; j < 32; ++j) {
      q[j] = static_cast<std::uint8_t>((b.qs[s / 4 * 32 + j] >> (s % 4 * 2)) & 3);
    }
    c.codes<2>(i * 8 + s, q);
  }
  const std::int64_t at = c.rows(20) * i;
  c.scale(at, 0, b.d);
  c.scale(at, 1, b.dmin);
  for (int s = 0; s < 16; ++s) c.scale(at + c.rows(4), s, b.scales[s]);
}

void put(Column& c, std::int64_t i, const BlockQ3_K& b) {
  for (int s = 0; s < 8; ++s) {
    std::uint8_t q[32];
    for (int j = 0; j < 32; ++j) {
      q[j] = static_cast<std::uint8_t>(((b.qs[s / 4 * 32 + j] >> (s % 4 * 2)) & 3) |
                                       (((b.hmask[j] >> s) & 1) << 2));
    }
    c.codes<3>(i * 8 + s, q);
  }
  const std::int64_t at = c.rows(18) * i;
  c.scale(at, 0, b.d);
  for (int s = 0; s < 16; ++s) {
    c.scale(at + c.rows(2), s, static_cast<std::int8_t>(q3_scale(b.scales, s) - 32));
  }
}

template <typename Block>
void put_scale_mins(Column& c, std::int64_t i, const Block& b) {
  const std::int64_t at = c.rows(20) * i;
  c.scale(at, 0, b.d);
  c.scale(at, 1, b.dmin);
  for (int s = 0; s < 8; ++s) {
    const ScaleMin sm = scale_min(b.scales, s);
    c.scale(at + c.rows(4), 2 * s, sm.scale);
    c.scale(at + c.rows(4), 2 * s + 1, sm.min);
  }
}

void put(Column& c, std::int64_t i, const BlockQ4_K& b) {
  for (int s = 0; s < 8; s += 2) {  // two sub-blocks share their bytes
    const std::uint8_t* first = b.qs + s / 2 * 32;
    const std::uint8_t* second = first + 16;
    std::uint8_t low[16], high[16];
    for (int j = 0; j < 16; ++j) {
      low[j] = static_cast<std::uint8_t>((first[j] & 15) | (second[j] << 4));
      high[j] = static_cast<std::uint8_t>((first[j] >> 4) | (second[j] & 0xf0));
    }
    c.nibbles(i * 8 + s, low);
    c.nibbles(i * 8 + s + 1, high);
  }
  put_scale_mins(c, i, b);
}

void put(Column& c, std::int64_t i, const BlockQ5_K& b) {
  for (int s = 0; s < 8; ++s) {
    std::uint8_t q[32];
    for (int j = 0; j < 32; ++j) {
      q[j] = static_cast<std::uint8_t>(((b.qs[s / 2 * 32 + j] >> (s % 2 * 4)) & 15) |
                                       (((b.qh[j] >> s) & 1) << 4));
    }
    c.codes<5>(i * 8 + s, q);
  }
  put_scale_mins(c, i, b);
}

void put(Column& c, std::int64_t i, const BlockQ6_K& b) {
  for (int s = 0; s < 8; ++s) {
    std::uint8_t q[32];
    const int h = s / 4, part = s % 4;  // 128 elements in four parts of 32
    for (int j = 0; j < 32; ++j) {
      const int low = (b.ql[64 * h + part % 2 * 32 + j] >> (part / 2 * 4)) & 15;
      const int high = (b.qh[32 * h + j] >> (2 * part)) & 3;
      q[j] = static_cast<std::uint8_t>(low | (high << 4));
    }
    c.codes<6>(i * 8 + s, q);
  }
  const std::int64_t at = c.rows(18) * i;
  c.scale(at, 0, b.d);
  for (int s = 0; s < 16; ++s) c.scale(at + c.rows(2), s, b.scales[s]);
}

template <typename Block>
void put_row(Column& column, std::int64_t k, const std::byte* row) {
  for (std::int64_t i = 0; i < k / Block::kElements; ++i) {
    Block block;
    std::memcpy(&block, row + i * std::ptrdiff_t(sizeof block), sizeof block);
    put(column, i, block);
  }
}

void put_row(BlockType type, Column& column, std::int64_t k, const std::byte* row) {
  switch (type) {
    case BlockType::q8_0:
      return put_row<BlockQ8_0>(column, k, row);
    case BlockType::q4_0:
      return put_row<BlockQ4_0>(column, k, row);
    case BlockType::q4_1:
      return put_row<BlockQ4_1>(column, k, row);
    case BlockType::q5_0:
      return put_row<BlockQ5_0>(column, k, row);
    case BlockType::q5_1:
      return put_row<BlockQ5_1>(column, k, row);
    case BlockType::iq4_nl:
      return put_row<BlockIQ4_NL>(column, k, row);
    case BlockType::mxfp4:
      return put_row<BlockMXFP4>(column, k, row);
    case BlockType::q2_k:
      return put_row<BlockQ2_K>(column, k, row);
    case BlockType::q3_k:
      return put_row<BlockQ3_K>(column, k, row);
    case BlockType::q4_k:
      return put_row<BlockQ4_K>(column, k, row);
    case BlockType::q5_k:
      return put_row<BlockQ5_K>(column, k, row);
    case BlockType::q6_k:
      return put_row<BlockQ6_K>(column, k, row);
    default:
      return;
  }
}

BlockPiece make_piece(const BlockRows& part, std::int64_t k, int nr, std::int64_t first) {
  const BlockFormat format = block_format(part.type);
  const std::int64_t steps = k / kStep, panels = (part.rows + nr - 1) / nr;
  BlockPiece piece;
  piece.type = part.type;
  piece.first = first;
  piece.columns = part.rows;
  piece.panel_bytes = format.panel_bytes(steps, nr);
  piece.panels = allocate(static_cast<std::size_t>(panels * piece.panel_bytes));
  auto* to = static_cast<std::byte*>(piece.panels->data());
  const auto row_bytes =
      static_cast<std::ptrdiff_t>(bytes_of(part.type, static_cast<std::uint64_t>(k)));
  parallel_for(panels, 1, [&](std::int64_t p, std::int64_t) {
    std::byte* panel = to + p * piece.panel_bytes;
    if ((p + 1) * nr > part.rows)
      std::memset(panel, 0, static_cast<std::size_t>(piece.panel_bytes));
    for (int j = 0; j < nr && p * nr + j < part.rows; ++j) {
      const auto at = static_cast<std::size_t>(p * nr + j);
      const std::int64_t row = part.order.empty() ? std::int64_t(at) : part.order[at];
      Column column(panel, format, steps, nr, j);
      put_row(part.type, column, k, part.blocks.data() + row * row_bytes);
    }
  });
  return piece;
}

}  // namespace

BlockPanels make_block_panels(std::span<const BlockRows> parts, std::int64_t k, int nr) {
  BlockPanels b;
  b.k = k;
  b.nr = nr;
  for (const BlockRows& part : parts) {
    const BlockInfo& info = info_of(part.type);
    require<UsageError>(block_format(part.type).bits > 0, "pack_blocks: {} is not a block type",
                        info.name);
    require<UsageError>(k > 0 && k % info.elements == 0,
                        "pack_blocks: rows of {} are not whole blocks of {} ({})", k, info.elements,
                        info.name);
    require<UsageError>(
        part.rows >= 0 &&
            part.blocks.size() == bytes_of(part.type, static_cast<std::uint64_t>(part.rows * k)),
        "pack_blocks: {} bytes are not {} rows of {} {}", part.blocks.size(), part.rows, k,
        info.name);
    require<UsageError>(part.order.empty() || std::ssize(part.order) == part.rows,
                        "pack_blocks: an order of {} rows for {}", part.order.size(), part.rows);
    for (const std::int64_t row : part.order) {
      require<UsageError>(row >= 0 && row < part.rows, "pack_blocks: row {} of {}", row, part.rows);
    }
    if (part.rows > 0) b.pieces.push_back(make_piece(part, k, nr, b.n));
    b.n += part.rows;
  }
  return b;
}

}  // namespace stepstone::cpu
