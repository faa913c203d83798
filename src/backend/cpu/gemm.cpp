#include "backend/cpu/gemm.h"

#include <algorithm>
#include <memory>

#include "backend/cpu/block_kernels.h"
#include "backend/cpu/block_panels.h"
#include "backend/cpu/gemm_kernels.h"
#include "backend/cpu/gemm_plan.h"
#include "backend/cpu/workspace.h"
#include "core/div_up.h"
#include "core/error.h"
#include "core/storage.h"
#include "core/threads.h"

namespace stepstone::cpu {

struct PackedAccess {
  static const std::byte* panels(const PackedMatrix& b) {
    return static_cast<const std::byte*>(b.panels_->data());
  }
  static Isa isa(const PackedMatrix& b) { return b.isa_; }
  static PanelFormat format(const PackedMatrix& b) {
    return b.stored_ == DType::bf16  ? PanelFormat::bf16_pairs
           : b.stored_ == DType::f16 ? PanelFormat::f16_pairs
                                     : PanelFormat::f32;
  }
  static const BlockPanels* blocks(const PackedMatrix& b) { return b.blocks_.get(); }
};

namespace {

// Products this short read bf16_pairs panels once and widen them in the kernel, at half the memory
// traffic; taller ones widen a block once into f32 panels, which the FMAs then read undisturbed.
constexpr std::int64_t kWidenInKernelRows = 16;

struct Workspaces {
  Workspace b, a, sums;
};
Workspaces& workspaces() {
  thread_local Workspaces mine;
  return mine;
}

MatrixRef at(const MatrixRef& x, std::int64_t i, std::int64_t j) {
  MatrixRef moved = x;
  const std::int64_t offset = x.transposed ? j * x.ld + i : i * x.ld + j;
  moved.data = static_cast<const std::byte*>(x.data) + offset * std::ptrdiff_t(size_of(x.dtype));
  return moved;
}

std::int64_t panel_bytes(const GemmKernels& kernels, PanelFormat format, std::int64_t depth) {
  const std::int64_t even = div_up(depth, 2) * 2;  // room for the padding of a last pair, widened
  return even / step_length(format) * kernels.nr * 4;
}

// k per unit of what the kernels multiply: pairs of bf16, or f32, to which pairs are widened.
std::int64_t multiplied_step(const GemmKernels& kernels, Compute compute) {
  return compute == Compute::bf16 && kernels.multiply_dots ? 2 : 1;
}

// A product and how it is to be computed; shared by its tasks.
struct Product {
  const GemmArgs& args;
  const GemmKernels& kernels;
  const std::byte* packed;  // all panels of B, or null
  PanelFormat format;       // of the panels that the tiles read
  PanelFormat stored;       // of `packed`
  std::int64_t block;       // depth of the blocks of k
  GemmPlan plan;

  bool dot() const { return multiplied_step(kernels, args.compute) == 2; }
  // An even k makes all blocks even, as pairs have to be.
  bool reads_a_in_place() const {
    if (args.a.transposed || (step_length(format) == 2 && args.k % 2 == 1)) return false;
    if (args.compute == Compute::f32) return args.a.dtype == DType::f32;
    return dot() && args.a.dtype == DType::bf16;
  }
};

struct Span {
  std::int64_t begin, end;
  std::int64_t size() const { return end - begin; }
};

// What the tiles of a task read of A: the matrix itself, or packed copies of groups of its rows. An
// odd depth is padded with -0, whose product with the zero that pads the panel leaves every sum as
// it is, +0 and -0 too.
//
// The columns of a transposed A are far apart in memory and slow to fetch. So the next group is
// packed between the tiles of the present one, a few steps of k at a time, which an earlier tile
// has fetched.
class RowsOfA {
 public:
  // `panels`: tiles per strip of rows.
  RowsOfA(const Product& p, Span rows, std::int64_t panels)
      : p_(p), rows_(rows), panels_(panels), direct_(p.reads_a_in_place()) {
    const MatrixRef& a = p.args.a;
    if (direct_) return;
    columns_ = a.transposed || p.args.compute == Compute::f32;
    const std::int64_t padded = div_up(p.block, 2) * 2 * (p.dot() ? 2 : 4);
    strip_bytes_ = (columns_ ? kMaxTileRows : p.kernels.mr) * padded + kPadding;
    const std::int64_t bytes = kMaxStrips * strip_bytes_;
    std::byte* space = workspaces().a.reserve(2 * bytes);
    now_.space = space;
    next_.space = space + bytes;
  }

  bool direct() const { return direct_; }

  // Rows of a group at most: whole strips of mr.
  std::int64_t max_rows() const { return direct_ ? rows_.size() : kMaxStrips * p_.kernels.mr; }

  // Makes the block of k at k0 and the rows from `row` on the present group.
  void load(std::int64_t k0, std::int64_t row) {
    if (direct_) {
      now_.k0 = k0;
      return;
    }
    if (next_.rows > 0 && next_.k0 == k0 && next_.row == row) {
      std::swap(now_, next_);
    } else {
      set(now_, k0, row);
    }
    pack(now_, now_.depth);
    if (!columns_) return;
    const bool more = row + now_.rows < rows_.end;
    set(next_, more ? k0 : k0 + now_.depth, more ? row + now_.rows : rows_.begin);
    runs_ = issued_ = fetched_ = tiles_ = 0;
    if (next_.rows == 0 || !p_.args.a.transposed) return;
    lines_ = div_up(next_.rows * std::int64_t(size_of(p_.args.a.dtype)), 64);
    runs_ = div_up(next_.depth, kRunLines) * lines_;
    // The last tiles leave time for what they fetch to be packed.
    tiles_of_group_ = std::max<std::int64_t>(div_up(now_.rows, p_.kernels.mr) * panels_ - 2, 1);
  }

  // Points `tile` at the strip that starts with `row`.
  void place(std::int64_t row, Tile& tile) const {
    if (direct_) {
      const MatrixRef from = at(p_.args.a, row, now_.k0);
      tile.a = static_cast<const std::byte*>(from.data);
      tile.a_row = from.ld * std::ptrdiff_t(size_of(from.dtype));
      tile.a_step = 4;
      return;
    }
    tile.a = now_.space + (row - now_.row) / p_.kernels.mr * strip_bytes_;
    tile.a_row = columns_ ? 4 : row_bytes(now_);
    tile.a_step = columns_ ? kMaxTileRows * 4 : 4;
  }

  // Gives a tile its share of the next group to fetch.
  void look_ahead(Tile& tile) {
    tile.runs = 0;
    fetched_ = issued_;
    if (runs_ == 0) return;
    const std::int64_t due = std::min(runs_ * ++tiles_ / tiles_of_group_, runs_);
    const auto size = static_cast<std::ptrdiff_t>(size_of(p_.args.a.dtype));
    for (; issued_ < due && tile.runs < kRuns; ++issued_) {
      const MatrixRef from = at(p_.args.a, next_.row + issued_ % lines_ * 64 / size,
                                next_.k0 + issued_ / lines_ * kRunLines);
      tile.ahead[tile.runs++] = {static_cast<const std::byte*>(from.data), from.ld * size};
    }
  }

  // To be called after every tile of the present group.
  void tile_done() {
    if (runs_ > 0) pack(next_, std::min(fetched_ / lines_ * kRunLines, next_.depth));
  }

 private:
  static constexpr std::int64_t kMaxStrips = kPackedRows / kMaxTileRows;
  static constexpr std::int64_t kPadding = 64;  // else strips lie in the same sets of L1

  struct Group {
    std::int64_t k0 = 0, depth = 0, row = 0, rows = 0;
    std::int64_t packed = 0;  // of depth
    std::byte* space = nullptr;
  };

  void set(Group& g, std::int64_t k0, std::int64_t row) const {
    g.k0 = k0;
    g.depth = std::min(p_.block, p_.args.k - k0);
    g.row = row;
    g.rows = g.depth > 0 ? std::min(max_rows(), rows_.end - row) : 0;
    g.packed = 0;
  }

  std::ptrdiff_t row_bytes(const Group& g) const {
    return div_up(g.depth, 2) * 2 * (p_.dot() ? 2 : 4);
  }

  void pack(Group& g, std::int64_t depth) const {
    if (g.packed >= depth) return;
    columns_ ? pack_columns(g, depth) : pack_rows(g);
    g.packed = depth;
  }

  void pack_columns(const Group& g, std::int64_t depth) const {
    PackPanels pack;
    pack.depth = depth - g.packed;
    pack.width = kMaxTileRows;
    pack.format = p_.dot() ? PanelFormat::bf16_pairs : PanelFormat::f32;
    pack.round = p_.args.compute == Compute::bf16;
    pack.panel_bytes = strip_bytes_;
    std::byte* to = g.space + g.packed / step_length(pack.format) * kMaxTileRows * 4;
    // Strips of fewer rows than a panel has columns are packed one by one.
    const std::int64_t mr = p_.kernels.mr, at_once = mr == kMaxTileRows ? g.rows : mr;
    for (std::int64_t i = 0; i < g.rows; i += at_once) {
      pack.from = at(p_.args.a, g.row + i, g.k0 + g.packed);
      pack.from.transposed = !pack.from.transposed;
      pack.cols = std::min(at_once, g.rows - i);
      pack.to = to + i / mr * strip_bytes_;
      p_.kernels.pack_panels(pack);
    }
    if (depth < g.depth || depth % 2 == 0 || p_.dot()) return;
    for (std::int64_t i = 0; i < g.rows; i += mr) {
      auto* strip = reinterpret_cast<float*>(g.space + i / mr * strip_bytes_);
      std::fill_n(strip + depth * kMaxTileRows, kMaxTileRows, -0.0f);
    }
  }

  void pack_rows(const Group& g) const {
    const DType to = p_.dot() ? DType::bf16 : DType::f32;
    for (std::int64_t i = 0; i < g.rows; ++i) {
      const std::int64_t strip = i / p_.kernels.mr;
      std::byte* row = g.space + strip * strip_bytes_ + (i - strip * p_.kernels.mr) * row_bytes(g);
      const MatrixRef from = at(p_.args.a, g.row + i, g.k0);
      p_.kernels.round_row(from.data, from.dtype, g.depth, row, to);
      if (g.depth % 2 == 0) continue;
      if (p_.dot()) {
        reinterpret_cast<bf16*>(row)[g.depth] = bf16(0.0f);
      } else {
        reinterpret_cast<float*>(row)[g.depth] = -0.0f;
      }
    }
  }

  const Product& p_;
  Span rows_;
  std::int64_t panels_;
  bool direct_, columns_ = false;
  std::ptrdiff_t strip_bytes_ = 0;
  Group now_, next_;
  // The next group is fetched in runs: kRunLines steps of k, `lines_` lines wide.
  std::int64_t runs_ = 0, lines_ = 0, issued_ = 0;
  std::int64_t fetched_ = 0;  // runs issued before the present tile
  std::int64_t tiles_ = 0, tiles_of_group_ = 0;
};

// The panels of columns [col, col_end) for one block of k: `stride` bytes apart.
const std::byte* panels_of_b(const Product& p, std::int64_t k0, std::int64_t depth,
                             std::int64_t col, std::int64_t col_end) {
  const int nr = p.kernels.nr;
  const std::int64_t bytes = panel_bytes(p.kernels, p.format, depth);
  const std::byte* stored = nullptr;
  if (p.packed != nullptr) {
    const std::int64_t per_step = div_up(p.args.n, nr) * nr * 4;
    stored = p.packed + k0 / step_length(p.stored) * per_step +
             col / nr * panel_bytes(p.kernels, p.stored, depth);
    if (p.stored == p.format) return stored;
  }
  const std::int64_t count = div_up(col_end - col, nr);
  std::byte* space = workspaces().b.reserve(count * bytes);
  if (stored != nullptr) {
    const auto expand =
        p.stored == PanelFormat::f16_pairs ? p.kernels.expand_f16 : p.kernels.expand_bf16;
    const std::int64_t stored_bytes = panel_bytes(p.kernels, p.stored, depth);
    for (std::int64_t i = 0; i < count; ++i) {
      expand(stored + i * stored_bytes, div_up(depth, 2), space + i * bytes);
    }
    return space;
  }
  PackPanels pack;
  pack.from = at(p.args.b, k0, col);
  pack.depth = depth;
  pack.cols = col_end - col;
  pack.width = nr;
  pack.format = p.format;
  pack.round = p.args.compute == Compute::bf16;
  pack.to = space;
  pack.panel_bytes = bytes;
  p.kernels.pack_panels(pack);
  return space;
}

// Where the tiles of a task find and leave their sums. A bf16 C that takes several blocks of k
// keeps them in f32 memory of the task until the last.
class SumsOfC {
 public:
  SumsOfC(const Product& p, Span rows, Span cols) : x_(p.args), rows_(rows), cols_(cols) {
    if (x_.c_dtype == DType::f32 || x_.k <= p.block) return;
    kept_row_ = div_up(cols.size(), p.kernels.nr) * p.kernels.nr * 4;
    kept_ = workspaces().sums.reserve(rows.size() * kept_row_);
  }

  void place(std::int64_t i, std::int64_t j, bool first, bool last, Tile& tile) const {
    const auto size = static_cast<std::ptrdiff_t>(size_of(x_.c_dtype));
    tile.c = static_cast<std::byte*>(x_.c) + (i * x_.ldc + j) * size;
    tile.c_dtype = x_.c_dtype;
    tile.c_row = x_.ldc * size;
    tile.add = first && !x_.accumulate ? nullptr : tile.c;
    tile.add_dtype = tile.c_dtype;
    tile.add_row = tile.c_row;
    tile.bias = last && x_.bias != nullptr ? x_.bias + j : nullptr;
    if (kept_ == nullptr) return;
    std::byte* kept = kept_ + (i - rows_.begin) * kept_row_ + (j - cols_.begin) * 4;
    if (!first) {
      tile.add = kept;
      tile.add_dtype = DType::f32;
      tile.add_row = kept_row_;
    }
    if (!last) {
      tile.c = kept;
      tile.c_dtype = DType::f32;
      tile.c_row = kept_row_;
    }
  }

 private:
  const GemmArgs& x_;
  Span rows_, cols_;
  std::ptrdiff_t kept_row_ = 0;
  std::byte* kept_ = nullptr;
};

void run_task(const Product& p, Span rows, Span cols) {
  const GemmArgs& x = p.args;
  const int mr = p.kernels.mr, nr = p.kernels.nr;
  const std::int64_t block = p.block;
  const auto multiply = p.dot()                               ? p.kernels.multiply_dots
                        : p.format == PanelFormat::bf16_pairs ? p.kernels.multiply_bf16
                        : p.format == PanelFormat::f16_pairs  ? p.kernels.multiply_f16
                                                              : p.kernels.multiply_f32;
  const SumsOfC sums(p, rows, cols);
  RowsOfA a(p, rows, div_up(cols.size(), nr));
  for (std::int64_t k0 = 0; k0 < x.k; k0 += block) {
    const std::int64_t depth = std::min(block, x.k - k0);
    const std::byte* panels = panels_of_b(p, k0, depth, cols.begin, cols.end);
    const std::int64_t bytes = panel_bytes(p.kernels, p.format, depth);
    const auto multiply_tile = [&](std::int64_t i, std::int64_t j) {
      Tile tile;
      tile.rows = static_cast<int>(std::min<std::int64_t>(mr, rows.end - i));
      tile.cols = static_cast<int>(std::min<std::int64_t>(nr, cols.end - j));
      tile.steps = div_up(depth, step_length(p.format));
      tile.b = panels + (j - cols.begin) / nr * bytes;
      a.place(i, tile);
      sums.place(i, j, k0 == 0, k0 + depth == x.k, tile);
      a.look_ahead(tile);
      multiply(tile);
      a.tile_done();
    };
    for (Span group{rows.begin, 0}; group.begin < rows.end; group.begin = group.end) {
      group.end = std::min(group.begin + a.max_rows(), rows.end);
      a.load(k0, group.begin);
      if (a.direct()) {
        for (std::int64_t i = group.begin; i < group.end; i += mr) {
          for (std::int64_t j = cols.begin; j < cols.end; j += nr) multiply_tile(i, j);
        }
      } else {
        for (std::int64_t j = cols.begin; j < cols.end; j += nr) {
          for (std::int64_t i = group.begin; i < group.end; i += mr) multiply_tile(i, j);
        }
      }
    }
  }
}

// C = [C] [+ bias], for k = 0.
void run_without_k(const GemmArgs& x) {
  for (std::int64_t i = 0; i < x.m; ++i) {
    for (std::int64_t j = 0; j < x.n; ++j) {
      const std::int64_t at = i * x.ldc + j;
      const auto set = [&](auto* c) {
        float value = x.accumulate ? static_cast<float>(c[at]) : 0.0f;
        if (x.bias != nullptr) value += x.bias[j];
        c[at] = std::remove_reference_t<decltype(*c)>(value);
      };
      if (x.c_dtype == DType::bf16) {
        set(static_cast<bf16*>(x.c));
      } else {
        set(static_cast<float*>(x.c));
      }
    }
  }
}

// `stored`: the format of `packed`.
void run(const GemmArgs& x, const std::byte* packed, PanelFormat stored) {
  if (x.m == 0 || x.n == 0) return;
  if (x.k == 0) return run_without_k(x);
  const GemmKernels& kernels = gemm_kernels(isa());
  const std::int64_t step = multiplied_step(kernels, x.compute);
  PanelFormat format = step == 2 ? PanelFormat::bf16_pairs : PanelFormat::f32;
  if (packed != nullptr && x.m <= kWidenInKernelRows) format = stored;
  Product p{x, kernels, packed, format, stored, block_depth(x.k, step), {}};
  GemmShapeInfo info;
  info.m = x.m;
  info.n = x.n;
  info.k = x.k;
  info.step = step;
  info.pack_b = packed == nullptr || stored != format;
  info.pack_a = !p.reads_a_in_place();
  info.scratch = x.c_dtype == DType::bf16 && x.k > p.block;
  p.plan = plan_gemm(info, kernels, in_parallel() ? 1 : num_threads());
  const GemmPlan& plan = p.plan;
  const std::int64_t tasks = plan.row_tasks * plan.col_tasks;
  parallel_for(tasks, plan.parallel ? 1 : tasks, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      const std::int64_t row = t % plan.row_tasks * plan.rows;
      const std::int64_t col = t / plan.row_tasks * plan.cols;
      run_task(p, {row, std::min(row + plan.rows, x.m)}, {col, std::min(col + plan.cols, x.n)});
    }
  });
}

void check_matrix(const char* name, const MatrixRef& x, std::int64_t rows, std::int64_t cols) {
  require<UsageError>(x.dtype == DType::f32 || x.dtype == DType::bf16,
                      "gemm: {}: expected f32 or bf16, got {}", name, name_of(x.dtype));
  if (rows == 0 || cols == 0) return;
  const std::int64_t width = x.transposed ? rows : cols, height = x.transposed ? cols : rows;
  require<UsageError>(x.data != nullptr, "gemm: {}: null", name);
  require<UsageError>(x.ld >= width, "gemm: {}: ld {} below the width {}", name, x.ld, width);
  std::int64_t elements = 0;
  require<UsageError>(!__builtin_mul_overflow(height, x.ld, &elements) && elements <= INT64_MAX / 8,
                      "gemm: {}: {} rows of {} elements do not fit the address space", name, height,
                      x.ld);
}

void check(const GemmArgs& args) {
  require<UsageError>(args.m >= 0 && args.n >= 0 && args.k >= 0, "gemm: negative size {}x{}x{}",
                      args.m, args.n, args.k);
  check_matrix("a", args.a, args.m, args.k);
  check_matrix("c", {args.c, args.c_dtype, args.ldc}, args.m, args.n);
}

}  // namespace

const GemmKernels& gemm_kernels(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::avx512) return kGemmAvx512;
  if (isa == Isa::avx512bf16) return kGemmAvx512Bf16;
#endif
  static_cast<void>(isa);
  return kGemmBaseline;
}

PackedMatrix pack_b(const MatrixRef& b, std::int64_t k, std::int64_t n, Compute compute) {
  require<UsageError>(k >= 0 && n >= 0, "pack_b: negative size {}x{}", k, n);
  require<UsageError>(compute != Compute::int8, "pack_b: int8 takes blocks, see pack_blocks()");
  // Packing moves halves and does not ask what they mean.
  MatrixRef from = b;
  if (b.dtype == DType::f16) {
    require<UsageError>(compute == Compute::f32, "pack_b: a B of f16 is for products in f32");
    from.dtype = DType::bf16;
  }
  check_matrix("b", from, k, n);
  PackedMatrix packed;
  packed.k_ = k;
  packed.n_ = n;
  packed.compute_ = compute;
  packed.isa_ = isa();
  const GemmKernels& kernels = gemm_kernels(packed.isa_);
  packed.stored_ = compute == Compute::bf16 ? DType::bf16 : b.dtype;
  const PanelFormat format = PackedAccess::format(packed);
  const std::int64_t block = block_depth(k, multiplied_step(kernels, compute));
  const std::int64_t panels = div_up(n, kernels.nr);
  // Only the last block can have odd depth.
  packed.bytes_ = panels * panel_bytes(kernels, format, k);
  packed.panels_ = allocate(packed.bytes_);
  auto* data = static_cast<std::byte*>(packed.panels_->data());
  parallel_for(k == 0 ? 0 : panels, 1, [&](std::int64_t begin, std::int64_t) {
    for (std::int64_t k0 = 0; k0 < k; k0 += block) {
      PackPanels pack;
      pack.from = at(from, k0, begin * kernels.nr);
      pack.depth = std::min(block, k - k0);
      pack.cols = std::min<std::int64_t>(kernels.nr, n - begin * kernels.nr);
      pack.width = kernels.nr;
      pack.format = format == PanelFormat::f32 ? format : PanelFormat::bf16_pairs;
      pack.round = compute == Compute::bf16;
      pack.to = data + k0 / step_length(format) * panels * kernels.nr * 4 +
                begin * panel_bytes(kernels, format, pack.depth);
      kernels.pack_panels(pack);
    }
  });
  return packed;
}

PackedMatrix pack_blocks(std::span<const BlockRows> parts, std::int64_t k, BlockSource source) {
  const auto blocks =
      std::make_shared<BlockPanels>(parts, k, block_kernels(isa()).nr, std::move(source));
  PackedMatrix packed;
  packed.k_ = k;
  packed.n_ = blocks->n();
  packed.compute_ = Compute::int8;
  packed.isa_ = isa();
  packed.bytes_ = blocks->bytes();
  packed.blocks_ = blocks;
  return packed;
}

void PackedMatrix::pack_all() const {
  if (blocks_) blocks_->pack_all();
}

void gemm(const GemmArgs& args) {
  require<UsageError>(args.compute != Compute::int8, "gemm: int8 needs a packed B");
  check(args);
  check_matrix("b", args.b, args.k, args.n);
  run(args, nullptr, PanelFormat::f32);
}

void gemm(const GemmArgs& args, const PackedMatrix& b) {
  check(args);
  require<UsageError>(b.k() == args.k && b.n() == args.n && b.compute() == args.compute,
                      "gemm: B was packed as {}x{}, the product needs {}x{}", b.k(), b.n(), args.k,
                      args.n);
  if (args.m == 0 || args.n == 0) return;
  if (b.compute() == Compute::int8) return block_gemm(args, *PackedAccess::blocks(b));
  require<UsageError>(PackedAccess::isa(b) == isa(),
                      "gemm: B was packed for {}, the instruction set in use is {}",
                      name_of(PackedAccess::isa(b)), name_of(isa()));
  run(args, PackedAccess::panels(b), PackedAccess::format(b));
}

}  // namespace stepstone::cpu
