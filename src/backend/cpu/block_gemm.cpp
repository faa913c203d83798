// Products with quantised weights: rows of A to int8 once, then panel by panel of B.
#include <algorithm>
#include <array>
#include <optional>
#include <span>

#include "backend/cpu/block_kernels.h"
#include "backend/cpu/block_panels.h"
#include "backend/cpu/block_rows.h"
#include "backend/cpu/workspace.h"
#include "core/div_up.h"
#include "core/error.h"
#include "core/threads.h"

namespace stepstone::cpu {
namespace {

// Rows of A that are walked for every panel of B, which is expanded once for all of them.
constexpr std::int64_t kBytesOfA = std::int64_t{16} << 20;
// Where reading B is all, a task reads at least about this much.
constexpr std::int64_t kBytesOfTask = std::int64_t{128} << 10;
// Otherwise neighbouring panels, so that one is fetched while the one before it is used.
constexpr std::int64_t kPanelsOfTask = 4;

struct Span {
  std::int64_t begin, end;
};

// Sums of a panel's columns to C, rounded if C is bf16.
void finish(const GemmArgs& x, const float* sums, int nr, Span rows, std::int64_t col,
            std::int64_t cols) {
  for (std::int64_t i = rows.begin; i < rows.end; ++i, sums += nr) {
    const float* from = sums;
    const std::int64_t at = i * x.ldc + col;
    const auto put = [&](auto* c) {
      for (std::int64_t j = 0; j < cols; ++j) {
        const float value = x.bias ? from[j] + x.bias[col + j] : from[j];
        c[at + j] = std::remove_reference_t<decltype(*c)>(value);
      }
    };
    if (x.c_dtype == DType::bf16) {
      put(static_cast<bf16*>(x.c));
    } else {
      put(static_cast<float*>(x.c));
    }
  }
}

// Expanded panels that a strip of A meets before the next strip does: half of A's way from the last
// cache, where the rows fit no other.
constexpr std::int64_t kPanelsAtOnce = 2;

// Memory of one thread: a panel packed for one product, panels expanded, and sums that do not fit C
// as they are.
struct Workspaces {
  Workspace packed;
  std::array<Workspace, kPanelsAtOnce> expanded, sums;
};
Workspaces& workspaces() {
  thread_local Workspaces mine;
  return mine;
}

// A panel is read as it is stored by up to three tiles, the second and third from L2; more of them
// pay for expanding it first.
bool reads_directly(std::int64_t rows, const BlockKernels& kernels) {
  return rows <= 3 * kernels.tile_rows;
}

// Where memory is all that a kernel waits for, AMD's cores read ahead best by themselves and are
// thrown off by lines asked for long before.
int steps_ahead(const BlockFormat& format, std::int64_t rows) {
  static const bool amd = is_amd();
  if (amd && rows <= 3) return 1;
  return format.bits == 8 ? 5 : 10;
}

struct Product {
  const GemmArgs& args;
  const BlockPanels& b;
  const BlockKernels& kernels;
  std::span<const RowsInt8> a;  // by RowScale
  bool keep;
};

BlockPanel reserve(Workspace& memory, const BlockFormat& format, std::int64_t steps, int nr) {
  auto* codes = memory.reserve_array<std::byte>(format.panel_bytes(steps, nr));
  return {codes, codes + format.code_bytes(steps, nr)};
}

BlockPanel panel_of(const Product& p, const BlockPiece& piece, std::int64_t index) {
  std::optional<BlockPanel> panel = piece.find(index);
  if (!panel && p.keep && piece.pack(index)) {
    p.b.count_packed(1);
    panel = piece.find(index);
  }
  if (!panel) {
    panel = reserve(workspaces().packed, piece.format(), p.args.k / kStep, p.kernels.nr);
    piece.pack_to(index, *panel);
  }
  return *panel;
}

// A panel and some rows of A, strip by strip.
class PanelRun {
 public:
  // `slot`: of the panels at once; `next`: the panel to be fetched meanwhile, if any.
  void start(const Product& p, const BlockPiece& piece, std::int64_t index, Span rows,
             std::size_t slot, const std::optional<BlockPanel>& next) {
    const GemmArgs& x = p.args;
    const std::int64_t steps = x.k / kStep;
    const int nr = p.kernels.nr;
    const bool direct = reads_directly(rows.end - rows.begin, p.kernels);
    rows_ = rows;
    format_ = piece.format();
    mr_ = p.kernels.mr(format_.rows);
    BlockPanel panel = panel_of(p, piece, index);
    if (direct) {
      multiply_ = p.kernels.direct(piece.type());
    } else {
      const BlockFormat wide = widened(format_);
      const BlockPanel expanded = reserve(workspaces().expanded[slot], wide, steps, nr);
      p.kernels.expand(piece.type())(panel, steps, expanded);
      panel = expanded;
      format_ = wide;
      multiply_ = p.kernels.wide(piece.type());
    }
    const std::int64_t in_piece = index * nr;
    col_ = piece.first() + in_piece;
    cols_ = std::min<std::int64_t>(nr, piece.columns() - in_piece);
    in_place_ = cols_ == nr && x.bias == nullptr && x.c_dtype == DType::f32;
    sums_ = in_place_ ? static_cast<float*>(x.c) + rows.begin * x.ldc + col_
                      : workspaces().sums[slot].reserve_array<float>((rows.end - rows.begin) * nr);
    tile_.codes = panel.codes;
    tile_.scales = panel.scales;
    tile_.c = sums_;
    tile_.c_row = in_place_ ? x.ldc : nr;
    tile_.steps = steps;
    tile_.steps_ahead = steps_ahead(format_, rows.end - rows.begin);
    if (next) {
      const std::int64_t tiles = div_up(rows.end - rows.begin, mr_);
      tile_.ahead = next->codes;
      tile_.ahead_end = next->codes + piece.code_bytes();
      tile_.ahead_lines = static_cast<int>(div_up(piece.code_bytes() / 64, tiles * steps));
    }
    a_ = &p.a[static_cast<std::size_t>(format_.rows)];
    tile_.a = a_->strip(rows.begin, format_);
  }

  std::int64_t rows_of_strip() const { return mr_; }

  // The strip that begins with row i of A, one after the other.
  void strip(std::int64_t i) {
    tile_.rows = static_cast<int>(std::min(rows_.end - i, mr_));
    multiply_(tile_);
    a_->advance(tile_.a, format_);
    tile_.c += tile_.rows * tile_.c_row;
    if (tile_.ahead_lines > 0) tile_.ahead += tile_.steps * tile_.ahead_lines * 64;
  }

  void end(const Product& p) const {
    if (!in_place_) finish(p.args, sums_, p.kernels.nr, rows_, col_, cols_);
  }

 private:
  BlockTile tile_;
  void (*multiply_)(const BlockTile&) = nullptr;
  BlockFormat format_;
  const RowsInt8* a_ = nullptr;
  Span rows_;
  std::int64_t mr_ = 0, col_ = 0, cols_ = 0;
  bool in_place_ = false;
  float* sums_ = nullptr;
};

// Panels `begin` to `end` of a piece, neighbours.
void run_panels(const Product& p, const BlockPiece& piece, Span panels, Span rows) {
  const bool direct = reads_directly(rows.end - rows.begin, p.kernels);
  const std::int64_t most = direct ? 1 : kPanelsAtOnce;
  for (std::int64_t first = panels.begin; first < panels.end; first += most) {
    std::array<PanelRun, kPanelsAtOnce> memory;
    const auto count = static_cast<std::size_t>(std::min(most, panels.end - first));
    const std::span<PanelRun> runs(memory.data(), count);
    for (std::size_t i = 0; i < count; ++i) {
      const std::int64_t index = first + static_cast<std::int64_t>(i);
      const std::int64_t next = index + most;
      runs[i].start(p, piece, index, rows, i,
                    !direct && next < panels.end ? piece.find(next) : std::nullopt);
    }
    const std::int64_t strip = runs[0].rows_of_strip();
    for (std::int64_t i = rows.begin; i < rows.end; i += strip) {
      for (PanelRun& run : runs) run.strip(i);
    }
    for (const PanelRun& run : runs) run.end(p);
  }
}

}  // namespace

const BlockKernels& block_kernels(Isa isa) {
#if defined(__x86_64__)
  static const bool vnni = __builtin_cpu_supports("avx512vnni");
  if (isa >= Isa::avx512 && vnni) return kBlockAvx512Vnni;
#endif
  static_cast<void>(isa);
  return kBlockBaseline;
}

bool has_block_kernel(BlockType type) { return block_format(type).bits > 0; }

void block_gemm(const GemmArgs& x, const BlockPanels& b) {
  require<UsageError>(!x.accumulate && !x.a.transposed,
                      "gemm: quantised weights take a plain A and a C to be written");
  if (x.m == 0 || x.n == 0) return;
  const BlockKernels& kernels = block_kernels(isa());
  require<UsageError>(kernels.nr == b.nr(),
                      "gemm: B was packed for another instruction set than {}", name_of(isa()));
  const std::array<RowsInt8, 3> a = {RowsInt8(x, b, RowScale::block, kernels),
                                     RowsInt8(x, b, RowScale::row, kernels),
                                     RowsInt8(x, b, RowScale::super, kernels)};
  const Product p{x, b, kernels, a, b.keeps()};
  std::vector<std::int64_t> ends;  // panels up to the end of each piece
  std::int64_t panels = 0, bytes = 0;
  for (const BlockPiece& piece : b.pieces()) {
    panels += piece.count();
    bytes = std::max(bytes, piece.panel_bytes());
    ends.push_back(panels);
  }
  const std::int64_t strip = kernels.tile_rows * kernels.super_tile_rows;
  const std::int64_t max_rows =
      std::max(kBytesOfA / (x.k * 3 / 2) / strip, std::int64_t{1}) * strip;
  const std::int64_t blocks = div_up(x.m, max_rows);
  const std::int64_t rows = div_up(div_up(x.m, blocks), strip) * strip;
  std::vector<std::int64_t> tasks;  // their ends
  const bool reads = reads_directly(x.m, kernels);
  const std::int64_t least =
      reads ? std::max(kBytesOfTask / (bytes * x.m), std::int64_t{1}) : kPanelsOfTask;
  for (std::int64_t end = 0; end < panels;) {
    // Half of a thread's share of what is left: a thread reads fast as long as it goes straight on.
    const std::int64_t share = reads ? (panels - end) / (2 * num_threads()) : 0;
    end = std::min(end + std::max(share, least), panels);
    tasks.push_back(end);
  }
  for (std::int64_t row = 0; row < x.m; row += rows) {
    const Span span{row, std::min(row + rows, x.m)};
    parallel_for(std::ssize(tasks), 1, [&](std::int64_t task, std::int64_t) {
      const auto at_task = static_cast<std::size_t>(task);
      std::int64_t begin = task == 0 ? 0 : tasks[at_task - 1];
      while (begin < tasks[at_task]) {
        const auto at =
            static_cast<std::size_t>(std::ranges::upper_bound(ends, begin) - ends.begin());
        const std::int64_t before = at == 0 ? 0 : ends[at - 1];
        const std::int64_t end = std::min(tasks[at_task], ends[at]);
        run_panels(p, b.pieces()[at], {begin - before, end - before}, span);
        begin = end;
      }
    });
  }
}

}  // namespace stepstone::cpu
