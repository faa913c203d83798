#include "backend/cpu/block_rows.h"

#include <algorithm>
#include <cstring>

#include "core/div_up.h"
#include "core/threads.h"

namespace stepstone::cpu {

RowsInt8::RowsInt8(const GemmArgs& x, const BlockPanels& b, RowScale kind,
                   const BlockKernels& kernels)
    : k_(x.k), steps_(x.k / kStep), kind_(kind), mr_(kernels.mr(kind)) {
  for (const BlockPiece& piece : b.pieces()) {
    const BlockFormat f = piece.format();
    if (f.rows != kind) continue;
    for (const What what :
         {What::scales, What::left, What::right, What::starts, What::sums, What::pairs}) {
      if (wants(what, f) && !find(what, f)) extras_.push_back({what, f});
    }
  }
  if (extras_.empty()) return;

  std::int64_t bytes = x.m * k_;
  std::vector<std::int64_t> places;
  for (const Extra& extra : extras_) {
    bytes = div_up(bytes, 64) * 64;
    places.push_back(bytes);
    bytes += x.m * entries(extra.what, extra.format) * 4;
  }
  memory_ = allocate(static_cast<std::size_t>(bytes));
  auto* base = static_cast<std::byte*>(memory_->data());
  codes_ = reinterpret_cast<std::int8_t*>(base);
  for (std::size_t i = 0; i < places.size(); ++i) extras_[i].memory = base + places[i];

  const auto row_bytes = x.a.ld * static_cast<std::ptrdiff_t>(size_of(x.a.dtype));
  const auto* from = static_cast<const std::byte*>(x.a.data);
  parallel_for(div_up(x.m, mr_), 1, [&](std::int64_t begin, std::int64_t end) {
    const auto steps = static_cast<std::size_t>(steps_);
    Row row{std::vector<float>(steps), std::vector<std::int32_t>(steps),
            std::vector<std::int32_t>(2 * steps)};
    for (std::int64_t first = begin * mr_; first < std::min(end * mr_, x.m); first += mr_) {
      const int rows = static_cast<int>(std::min<std::int64_t>(mr_, x.m - first));
      for (int i = 0; i < rows; ++i) {
        kernels.quantize_row({.from = from + (first + i) * row_bytes,
                              .dtype = x.a.dtype,
                              .count = k_,
                              .codes = codes_ + first * k_ + i * kStep,
                              .stride = std::ptrdiff_t{rows} * kStep,
                              .scales = row.scales.data(),
                              .halved = kind_ == RowScale::block ? nullptr : row.halved.data(),
                              .sums = row.sums16.data()});
        for (const Extra& extra : extras_) put(extra, first, rows, i, row);
      }
    }
  });
}

bool RowsInt8::wants(What what, const BlockFormat& f) const {
  const bool super = kind_ == RowScale::super;
  switch (what) {
    case What::scales:
      return true;
    case What::left:
      return kind_ != RowScale::block;
    case What::right:
      return super;
    case What::starts:
      return super || f.zero_shift >= 0;
    case What::sums:
      return !super && has_min(f.scales);
    case What::pairs:
      return super && has_min(f.scales);
  }
  return false;
}

std::int64_t RowsInt8::entries(What what, const BlockFormat& f) const {
  switch (what) {
    case What::scales:
      return kind_ == RowScale::block ? steps_ : 1;
    case What::left:
    case What::right:
      return steps_;
    case What::starts:
    case What::sums:
      return steps_ * scales_per_step(f);
    case What::pairs:
      return steps_ * scales_per_step(f) / 2;
  }
  return 0;
}

const RowsInt8::Extra* RowsInt8::find(What what, const BlockFormat& f) const {
  const auto it = std::ranges::find_if(extras_, [&](const Extra& e) {
    return e.what == what && e.format.zero_shift == f.zero_shift &&
           e.format.sum_shift == f.sum_shift &&
           granularity(e.format.scales) == granularity(f.scales);
  });
  return it == extras_.end() ? nullptr : &*it;
}

// Row i of the strip that begins with row `first`.
void RowsInt8::put(const Extra& to, std::int64_t first, int rows, int i, const Row& row) const {
  const BlockFormat& f = to.format;
  const std::int64_t count = entries(to.what, f);
  std::byte* out = to.memory + (first * count + i) * 4;
  const auto fill = [&](auto&& entry) {
    for (std::int64_t at = 0; at < count; ++at, out += rows * 4) {
      const auto value = entry(static_cast<std::size_t>(at));
      static_assert(sizeof value == 4);
      std::memcpy(out, &value, 4);
    }
  };
  const auto power = [](int n) { return static_cast<float>(1 << n); };
  // By scale of the format: the sum of the codes, and how often the row's scale was halved there.
  const auto per_step = static_cast<std::size_t>(scales_per_step(f));
  const auto sum = [&](std::size_t at) {
    return per_step == 2 ? row.sums16[at] : row.sums16[2 * at] + row.sums16[2 * at + 1];
  };
  const auto halved = [&](std::size_t at) { return row.halved[at / per_step]; };
  const bool super = kind_ == RowScale::super;
  switch (to.what) {
    case What::scales:
      if (kind_ == RowScale::block) {
        fill([&](std::size_t at) { return row.scales[at]; });
      } else {
        const float unit = super ? power(f.sum_shift) : 1 / power(kMaxShift);
        fill([&](std::size_t) { return row.scales[0] * unit; });
      }
      break;
    case What::left: {
      const int most = super ? 16 - f.sum_shift : kMaxShift;
      fill([&](std::size_t step) { return most - row.halved[step]; });
      break;
    }
    case What::right:
      fill([&](std::size_t step) { return row.halved[step] + f.sum_shift; });
      break;
    case What::starts: {
      const auto start = [&](std::size_t at) { return -f.zero() * sum(at); };
      if (!super) {
        fill(start);
        break;
      }
      // Ties go up under one scale and down under the next. All of them up would lift every product
      // of a type whose scales have no sign: a shift by one has a tie every other time.
      fill([&](std::size_t at) {
        const int half = (1 << (halved(at) + f.sum_shift)) >> 1;
        return start(at) + (half > 0 && at % 2 == 1 ? half - 1 : half);
      });
      break;
    }
    case What::sums:
      fill([&](std::size_t at) {
        const float unit =
            kind_ == RowScale::block ? row.scales[at] : power(kMaxShift - row.halved[at]);
        return unit * static_cast<float>(sum(at));
      });
      break;
    case What::pairs: {
      const auto rounded = [&](std::size_t at) {
        return ((sum(at) << f.min_fraction()) + ((1 << halved(at)) >> 1)) >> halved(at);
      };
      fill(
          [&](std::size_t at) { return (rounded(2 * at) & 0xffff) | (rounded(2 * at + 1) << 16); });
      break;
    }
  }
}

template <typename T>
const T* RowsInt8::place(What what, std::int64_t first, const BlockFormat& f) const {
  const Extra* extra = wants(what, f) ? find(what, f) : nullptr;
  return extra ? reinterpret_cast<const T*>(extra->memory) + first * entries(what, f) : nullptr;
}

StripInt8 RowsInt8::strip(std::int64_t first, const BlockFormat& f) const {
  return {.codes = codes_ + first * k_,
          .scales = place<float>(What::scales, first, f),
          .left = place<std::int32_t>(What::left, first, f),
          .right = place<std::int32_t>(What::right, first, f),
          .starts = place<std::int32_t>(What::starts, first, f),
          .sums = place<float>(What::sums, first, f),
          .pairs = place<std::int32_t>(What::pairs, first, f)};
}

void RowsInt8::advance(StripInt8& strip, const BlockFormat& f) const {
  const auto move = [&](auto& pointer, What what) {
    if (pointer) pointer += mr_ * entries(what, f);
  };
  strip.codes += mr_ * k_;
  move(strip.scales, What::scales);
  move(strip.left, What::left);
  move(strip.right, What::right);
  move(strip.starts, What::starts);
  move(strip.sums, What::sums);
  move(strip.pairs, What::pairs);
}

}  // namespace stepstone::cpu
