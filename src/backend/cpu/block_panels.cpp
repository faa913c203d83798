#include "backend/cpu/block_panels.h"

#include <hwy/highway.h>

#include <array>
#include <bit>
#include <cstring>
#include <type_traits>

#include "core/error.h"
#include "core/threads.h"
#include "quant/blocks.h"

namespace stepstone::cpu {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
constexpr hn::CappedTag<std::uint32_t, 8> kUnits;
using Units = hn::Vec<decltype(kUnits)>;
// Columns that are written side by side.
constexpr int kTogether = static_cast<int>(hn::MaxLanes(kUnits));
static_assert(kTogether == 4 || kTogether == 8);

// The 4 × 4 squares of four vectors, turned.
struct Turned {
  Units r0, r1, r2, r3;
  Units operator[](int i) const { return i == 0 ? r0 : i == 1 ? r1 : i == 2 ? r2 : r3; }
};
Turned turned(Units r0, Units r1, Units r2, Units r3) {
  const hn::Repartition<std::uint64_t, decltype(kUnits)> pairs;
  const auto lower01 = hn::BitCast(pairs, hn::InterleaveLower(kUnits, r0, r1));
  const auto lower23 = hn::BitCast(pairs, hn::InterleaveLower(kUnits, r2, r3));
  const auto upper01 = hn::BitCast(pairs, hn::InterleaveUpper(kUnits, r0, r1));
  const auto upper23 = hn::BitCast(pairs, hn::InterleaveUpper(kUnits, r2, r3));
  const auto units = [](auto v) { return hn::BitCast(kUnits, v); };
  return {units(hn::InterleaveLower(pairs, lower01, lower23)),
          units(hn::InterleaveUpper(pairs, lower01, lower23)),
          units(hn::InterleaveLower(pairs, upper01, upper23)),
          units(hn::InterleaveUpper(pairs, upper01, upper23))};
}

// One column of a panel, being written.
class Column {
 public:
  Column(const BlockPanel& panel, int nr, std::int64_t j)
      : codes_(panel.codes), scales_(panel.scales), nr_(nr), j_(j) {}

  template <int bits>
  void codes(std::int64_t step, const std::uint8_t* q) {
    std::byte* to = codes_ + (step * bits * nr_ + j_) * 4;
    std::uint32_t group[8];  // four codes, byte by byte
    std::memcpy(group, q, sizeof group);
    if constexpr (bits == 8) {
      for (int g = 0; g < 8; ++g) put(to, g, group[g]);
    }
    if constexpr (bits >= 4 && bits <= 6) {
      constexpr int first = bits > 4 ? 1 : 0;
      for (int c = 0; c < 4; ++c) {
        put(to, first + c, (group[c] & 0x0f0f0f0f) | ((group[c + 4] & 0x0f0f0f0f) << 4));
      }
    }
    if constexpr (bits == 6) pairs<4>(to, 0, 5, group);
    if constexpr (bits == 2) pairs<0>(to, 0, 1, group);
    if constexpr (bits == 3) pairs<0>(to, 1, 2, group);
    if constexpr (bits == 5) single_bits<4>(to, group);
    if constexpr (bits == 3) single_bits<2>(to, group);
  }
  // Codes of 4 bits that lie in the file as in a panel: k and k + 16 in a byte.
  void nibbles(std::int64_t step, const std::uint8_t* both) {
    std::byte* to = codes_ + (step * 4 * nr_ + j_) * 4;
    for (int c = 0; c < 4; ++c) std::memcpy(to + c * nr_ * 4, both + c * 4, 4);
  }

  // Entry `row` of rows of nr, in rows of T, that begin `bytes` behind the first scale of the
  // panel.
  template <typename T>
  void scale(std::int64_t bytes, std::int64_t row, T value) const {
    std::memcpy(scales_ + bytes + (row * nr_ + j_) * std::ptrdiff_t(sizeof value), &value,
                sizeof value);
  }
  // The `count` bytes of each pair of neighbours side by side.
  template <typename Byte>
  void scale_pairs(std::int64_t bytes, int count, const Byte* values) const {
    for (int p = 0; p < count / 2; ++p) {
      std::memcpy(scales_ + bytes + (p * nr_ + j_) * 2, values + 2 * p, 2);
    }
  }
  std::int64_t rows(std::int64_t count) const { return count * nr_; }

  // The column `count` further on.
  Column after(std::int64_t count) const {
    Column moved = *this;
    moved.j_ += count;
    return moved;
  }

  // This column and those behind it, kTogether in all, at `step` from 32 signed bytes each,
  // transposed in registers: as many times fewer stores.
  void together(std::int64_t step, const std::array<const std::int8_t*, kTogether>& from) const {
    const auto flip = hn::Set(kUnits, 0x80808080u);  // q + 128
    const std::int64_t nr = nr_;  // stores might change a member, for all the compiler knows
    auto* to = reinterpret_cast<std::uint32_t*>(codes_) + step * 8 * nr + j_;
    for (int begin = 0; begin < 8; begin += kTogether) {  // so many units of the eight at once
      const auto load = [&](int c) {
        const auto* row = reinterpret_cast<const std::uint32_t*>(from[static_cast<std::size_t>(c)]);
        return hn::Xor(hn::LoadU(kUnits, row + begin), flip);
      };
      const auto put_units = [&](int unit, auto units) {
        hn::StoreU(units, kUnits, to + (begin + unit) * nr);
      };
      const auto first = turned(load(0), load(1), load(2), load(3));
      if constexpr (kTogether == 4) {
        for (int u = 0; u < 4; ++u) put_units(u, first[u]);
      } else {
        const auto second = turned(load(4), load(5), load(6), load(7));
        for (int u = 0; u < 4; ++u) {
          put_units(u, hn::ConcatLowerLower(kUnits, second[u], first[u]));
          put_units(u + 4, hn::ConcatUpperUpper(kUnits, second[u], first[u]));
        }
      }
    }
  }

 private:
  void put(std::byte* to, int chunk, std::uint32_t unit) const {
    std::memcpy(to + chunk * nr_ * 4, &unit, sizeof unit);
  }
  template <int shift>
  void pairs(std::byte* to, int first, int second, const std::uint32_t* group) const {
    for (int h = 0; h < 2; ++h) {
      std::uint32_t out = 0;
      for (int g = 0; g < 4; ++g) out |= ((group[h * 4 + g] >> shift) & 0x03030303) << (2 * g);
      put(to, h == 0 ? first : second, out);
    }
  }
  template <int shift>
  void single_bits(std::byte* to, const std::uint32_t* group) const {
    std::uint32_t out = 0;
    for (int g = 0; g < 8; ++g) out |= ((group[g] >> shift) & 0x01010101) << g;
    put(to, 0, out);
  }

  std::byte* codes_;
  std::byte* scales_;
  std::int64_t nr_, j_;
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
  c.scale_pairs(at + c.rows(4), 16, b.scales);
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
  std::int8_t scales[16];
  for (int s = 0; s < 16; ++s) scales[s] = static_cast<std::int8_t>(q3_scale(b.scales, s) - 32);
  c.scale_pairs(at + c.rows(2), 16, scales);
}

template <typename Block>
void put_scale_mins(Column& c, std::int64_t i, const Block& b) {
  const std::int64_t at = c.rows(20) * i;
  c.scale(at, 0, b.d);
  c.scale(at, 1, b.dmin);
  std::uint8_t scales[8], mins[8];
  for (int s = 0; s < 8; ++s) {
    const ScaleMin sm = scale_min(b.scales, s);
    scales[s] = sm.scale;
    mins[s] = sm.min;
  }
  c.scale_pairs(at + c.rows(4), 8, scales);
  c.scale_pairs(at + c.rows(12), 8, mins);
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
  c.scale_pairs(at + c.rows(2), 16, b.scales);
}

// Rows that become neighbouring columns.
struct Rows {
  std::array<const std::byte*, kTogether> at;
  int count;
};

template <typename Block>
const Block& block(const std::byte* row, std::int64_t i) {
  // Not copied: reading a copy back in wider pieces than it was written waits for the store.
  return *reinterpret_cast<const Block*>(row + i * std::ptrdiff_t(sizeof(Block)));
}

// Blocks `begin` to `end` of the rows, from `column` on.
template <typename Block>
void put_blocks(const Column& column, std::int64_t begin, std::int64_t end, const Rows& rows) {
  if constexpr (std::is_same_v<Block, BlockQ8_0>) {
    if (rows.count == kTogether) {
      const Column first = column;
      for (std::int64_t i = begin; i < end; ++i) {
        std::array<const std::int8_t*, kTogether> codes;
        for (std::size_t c = 0; c < kTogether; ++c) {
          const BlockQ8_0& b = block<BlockQ8_0>(rows.at[c], i);
          codes[c] = b.qs;
          first.after(static_cast<std::int64_t>(c)).scale(0, i, b.d);
        }
        first.together(i, codes);
      }
      return;
    }
  }
  for (int c = 0; c < rows.count; ++c) {
    Column one = column.after(c);  // a copy of its own stays in registers whatever is written
    for (std::int64_t i = begin; i < end; ++i) {
      put(one, i, block<Block>(rows.at[static_cast<std::size_t>(c)], i));
    }
  }
}

using PutBlocks = void (*)(const Column&, std::int64_t, std::int64_t, const Rows&);

PutBlocks put_blocks_of(BlockType type) {
  switch (type) {
    case BlockType::q8_0:
      return put_blocks<BlockQ8_0>;
    case BlockType::q4_0:
      return put_blocks<BlockQ4_0>;
    case BlockType::q4_1:
      return put_blocks<BlockQ4_1>;
    case BlockType::q5_0:
      return put_blocks<BlockQ5_0>;
    case BlockType::q5_1:
      return put_blocks<BlockQ5_1>;
    case BlockType::iq4_nl:
      return put_blocks<BlockIQ4_NL>;
    case BlockType::mxfp4:
      return put_blocks<BlockMXFP4>;
    case BlockType::q2_k:
      return put_blocks<BlockQ2_K>;
    case BlockType::q3_k:
      return put_blocks<BlockQ3_K>;
    case BlockType::q4_k:
      return put_blocks<BlockQ4_K>;
    case BlockType::q5_k:
      return put_blocks<BlockQ5_K>;
    case BlockType::q6_k:
      return put_blocks<BlockQ6_K>;
    default:
      return nullptr;
  }
}

}  // namespace

BlockPiece::BlockPiece(const BlockRows& part, std::int64_t k, int nr, std::int64_t first)
    : rows_(part),
      order_(part.order.begin(), part.order.end()),
      k_(k),
      first_(first),
      code_bytes_(block_format(part.type).code_bytes(k / kStep, nr)),
      scale_bytes_(block_format(part.type).scale_bytes(k / kStep, nr)),
      nr_(nr),
      panels_(allocate(static_cast<std::size_t>(count() * panel_bytes()))),
      state_(std::make_unique<std::atomic<State>[]>(static_cast<std::size_t>(count()))) {
  rows_.order = {};
}

bool BlockPiece::pack(std::int64_t i) const {
  std::atomic<State>& state = state_[static_cast<std::size_t>(i)];
  State expected = State::in_file;
  if (!state.compare_exchange_strong(expected, State::being_packed)) return false;
  pack_to(i, place(i));
  state.store(State::packed, std::memory_order_release);
  return true;
}

void BlockPiece::pack_to(std::int64_t i, const BlockPanel& panel) const {
  const BlockInfo& info = info_of(rows_.type);
  const PutBlocks put = put_blocks_of(rows_.type);
  const std::int64_t blocks = k_ / info.elements;
  const auto block_bytes = static_cast<std::ptrdiff_t>(info.bytes);
  const std::int64_t begin = i * nr_, end = std::min(begin + nr_, rows_.rows);
  if (end < begin + nr_) {
    std::memset(panel.codes, 0, static_cast<std::size_t>(code_bytes_));
    std::memset(panel.scales, 0, static_cast<std::size_t>(scale_bytes_));
  }
  const auto row_of = [&](std::int64_t j) {
    const std::int64_t at = order_.empty() ? j : order_[static_cast<std::size_t>(j)];
    return rows_.blocks.data() + at * blocks * block_bytes;
  };
  // So much of the panel stays in L1 while all its columns are written.
  const std::int64_t group = kSuperSteps * kStep / info.elements;
  for (std::int64_t first = 0; first < blocks; first += group) {
    const std::int64_t last = std::min(first + group, blocks);
    Rows rows;
    for (std::int64_t j = begin; j < end; j += rows.count) {
      rows.count = static_cast<int>(std::min<std::int64_t>(end - j, kTogether));
      for (int c = 0; c < rows.count; ++c) {
        const std::byte* row = row_of(j + c);
        rows.at[static_cast<std::size_t>(c)] = row;
        // The row's next blocks, or the first ones of the row in its place in the next panel.
        const std::byte* ahead = row + last * block_bytes;
        if (last == blocks) ahead = row_of(std::min(j + c + nr_, rows_.rows - 1));
        for (std::int64_t at = 0; at < group * block_bytes; at += 64) {
          __builtin_prefetch(ahead + at);
        }
      }
      put(Column(panel, nr_, j - begin), first, last, rows);
    }
  }
}

BlockPanels::BlockPanels(std::span<const BlockRows> parts, std::int64_t k, int nr,
                         BlockSource source)
    : nr_(nr), source_(std::move(source)) {
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
    require<UsageError>(reinterpret_cast<std::uintptr_t>(part.blocks.data()) % alignof(Half) == 0,
                        "pack_blocks: blocks at an odd address");
    require<UsageError>(part.order.empty() || std::ssize(part.order) == part.rows,
                        "pack_blocks: an order of {} rows for {}", part.order.size(), part.rows);
    for (const std::int64_t row : part.order) {
      require<UsageError>(row >= 0 && row < part.rows, "pack_blocks: row {} of {}", row, part.rows);
    }
    if (part.rows > 0) pieces_.emplace_back(part, k, nr, n_);
    n_ += part.rows;
  }
  for (const BlockPiece& piece : pieces_) unpacked_ += piece.count();
  if (!source_.owner) pack_all();
}

std::size_t BlockPanels::bytes() const {
  std::int64_t sum = 0;
  for (const BlockPiece& piece : pieces_) sum += piece.count() * piece.panel_bytes();
  return static_cast<std::size_t>(sum);
}

void BlockPanels::count_packed(std::int64_t panels) const {
  if (panels > 0 && unpacked_.fetch_sub(panels) == panels && source_.packed) source_.packed();
}

void BlockPanels::pack_all() const {
  for (const BlockPiece& piece : pieces_) {
    parallel_for(piece.count(), 1, [&](std::int64_t i, std::int64_t) {
      if (!piece.find(i) && piece.pack(i)) count_packed(1);
    });
  }
}

}  // namespace stepstone::cpu
