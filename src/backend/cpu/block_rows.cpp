#include "backend/cpu/block_rows.h"

#include <algorithm>

#include "core/div_up.h"
#include "core/threads.h"

namespace stepstone::cpu {

RowsInt8::RowsInt8(const GemmArgs& x, const BlockPanels& b, RowScale kind,
                   const BlockKernels& kernels)
    : k_(x.k), steps_(x.k / kStep), mr_(kernels.mr), kind_(kind) {
  bool any = false;
  for (const BlockPiece& piece : b.pieces()) {
    const BlockFormat f = piece.format();
    if (f.rows != kind) continue;
    any = true;
    if (f.zero_shift >= 0) want(scales_per_step(f), f.zero_shift);
    if (has_min(f.scales)) want(scales_per_step(f), -1);
  }
  if (!any) return;

  std::int64_t bytes = 0;
  const auto place = [&](std::int64_t size) {
    const std::int64_t at = bytes;
    bytes += div_up(size, 64) * 64;
    return at;
  };
  const bool by_row = kind == RowScale::row;
  const std::int64_t codes = place(x.m * k_), scales = place(x.m * (by_row ? 1 : steps_) * 4);
  const std::int64_t shifts = place(by_row ? x.m * steps_ * 4 : 0);
  std::vector<std::int64_t> sums;
  for (const Sums& s : sums_) sums.push_back(place(x.m * steps_ * s.per_step * 4));
  memory_ = allocate(static_cast<std::size_t>(bytes));
  auto* base = static_cast<std::byte*>(memory_->data());
  codes_ = reinterpret_cast<std::int8_t*>(base + codes);
  scales_ = reinterpret_cast<float*>(base + scales);
  if (by_row) shifts_ = reinterpret_cast<std::int32_t*>(base + shifts);
  for (std::size_t i = 0; i < sums.size(); ++i) sums_[i].memory = base + sums[i];

  const auto row_bytes = x.a.ld * static_cast<std::ptrdiff_t>(size_of(x.a.dtype));
  const auto* from = static_cast<const std::byte*>(x.a.data);
  parallel_for(div_up(x.m, mr_), 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<std::int32_t> sums16(static_cast<std::size_t>(steps_ * 2));
    for (std::int64_t first = begin * mr_; first < std::min(end * mr_, x.m); first += mr_) {
      const int rows = static_cast<int>(std::min<std::int64_t>(mr_, x.m - first));
      for (int i = 0; i < rows; ++i) {
        const QuantizeRow row = {.from = from + (first + i) * row_bytes,
                                 .dtype = x.a.dtype,
                                 .count = k_,
                                 .rows = rows,
                                 .codes = codes_ + first * k_ + i * kStep,
                                 .scales = scales_ + (by_row ? first : first * steps_) + i,
                                 .shifts = by_row ? shifts_ + first * steps_ + i : nullptr,
                                 .sums = sums16.data()};
        kernels.quantize_row(row);
        for (const Sums& s : sums_) put_sums(s, first, i, row);
      }
    }
  });
}

const RowsInt8::Sums* RowsInt8::find(int per_step, int zero_shift) const {
  const auto same = [=](const Sums& s) {
    return s.per_step == per_step && s.zero_shift == zero_shift;
  };
  const auto it = std::ranges::find_if(sums_, same);
  return it == sums_.end() ? nullptr : &*it;
}

void RowsInt8::want(int per_step, int zero_shift) {
  if (!find(per_step, zero_shift)) sums_.push_back({per_step, zero_shift});
}

// Of row i of the strip that begins with row `first`.
void RowsInt8::put_sums(const Sums& to, std::int64_t first, int i, const QuantizeRow& row) const {
  std::byte* out = to.memory + (first * steps_ * to.per_step + i) * 4;
  for (std::int64_t at = 0; at < steps_ * to.per_step; ++at, out += row.rows * 4) {
    const std::int32_t sum =
        to.per_step == 2 ? row.sums[at] : row.sums[at * 2] + row.sums[at * 2 + 1];
    if (to.zero_shift >= 0) {
      *reinterpret_cast<std::int32_t*>(out) = -(sum << to.zero_shift);
    } else {
      const std::int64_t step = at / to.per_step * row.rows;
      const float unit = row.shifts ? static_cast<float>(1 << row.shifts[step]) : row.scales[step];
      *reinterpret_cast<float*>(out) = unit * static_cast<float>(sum);
    }
  }
}

StripInt8 RowsInt8::strip(std::int64_t first, const BlockFormat& f) const {
  const int per_step = scales_per_step(f);
  const auto place = [&](const Sums* sums) {
    return sums ? sums->memory + first * steps_ * per_step * 4 : nullptr;
  };
  StripInt8 s;
  s.codes = codes_ + first * k_;
  s.scales = scales_ + (kind_ == RowScale::row ? first : first * steps_);
  if (shifts_) s.shifts = shifts_ + first * steps_;
  s.starts = reinterpret_cast<const std::int32_t*>(
      f.zero_shift >= 0 ? place(find(per_step, f.zero_shift)) : nullptr);
  s.sums = reinterpret_cast<const float*>(has_min(f.scales) ? place(find(per_step, -1)) : nullptr);
  return s;
}

}  // namespace stepstone::cpu
