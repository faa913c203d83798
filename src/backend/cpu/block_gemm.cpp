// Products with quantised weights: rows of A to int8 once, then panel by panel of B.
#include <algorithm>
#include <array>
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

// Rows of A that are walked for every panel of B: a strip of them fits L1, all of them L2 and L3.
constexpr std::int64_t kBytesOfA = std::int64_t{16} << 20;
// Columns are handed out so that a task reads about this much of B where reading is all.
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

// Memory of one thread: a panel packed for one product, a panel expanded, and sums that do not fit
// C as they are.
struct Workspaces {
  Workspace packed, expanded, sums;
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

struct Product {
  const GemmArgs& args;
  const BlockPanels& b;
  const BlockKernels& kernels;
  std::span<const RowsInt8> a;  // by RowScale
  bool keep;
};

const std::byte* panel_of(const Product& p, const BlockPiece& piece, std::int64_t index) {
  const std::byte* panel = piece.find(index);
  if (panel == nullptr && p.keep && piece.pack(index)) {
    p.b.count_packed(1);
    panel = piece.find(index);
  }
  if (panel == nullptr) {
    auto* mine = workspaces().packed.reserve_array<std::byte>(piece.panel_bytes());
    piece.pack_to(index, mine);
    panel = mine;
  }
  return panel;
}

// `next`: the panel that comes behind this one, if it is known.
void run_panel(const Product& p, const BlockPiece& piece, std::int64_t index, Span rows,
               const std::byte* next) {
  const GemmArgs& x = p.args;
  const std::int64_t steps = x.k / kStep;
  const int nr = p.kernels.nr;
  const std::int64_t mr = p.kernels.mr(piece.format().rows);
  const bool direct = reads_directly(rows.end - rows.begin, p.kernels);
  BlockFormat format = piece.format();
  const std::byte* panel = panel_of(p, piece, index);
  void (*multiply)(const BlockTile&);
  if (direct) {
    multiply = p.kernels.direct(piece.type());
  } else {
    const BlockFormat wide = widened(format);
    auto* expanded = workspaces().expanded.reserve_array<std::byte>(wide.panel_bytes(steps, nr));
    p.kernels.expand(piece.type())(panel, steps, expanded);
    panel = expanded;
    format = wide;
    multiply = p.kernels.wide(piece.type());
  }
  const std::int64_t in_piece = index * nr;
  const std::int64_t col = piece.first() + in_piece,
                     cols = std::min<std::int64_t>(nr, piece.columns() - in_piece);
  const bool in_place = cols == nr && x.bias == nullptr && x.c_dtype == DType::f32;
  float* sums = in_place ? static_cast<float*>(x.c) + rows.begin * x.ldc + col
                         : workspaces().sums.reserve_array<float>((rows.end - rows.begin) * nr);
  BlockTile tile;
  tile.codes = panel;
  tile.scales = panel + format.code_bytes(steps, nr);
  tile.c_row = in_place ? x.ldc : nr;
  tile.steps = steps;
  tile.ahead = next;
  if (!direct && next) {
    const std::int64_t tiles = div_up(rows.end - rows.begin, mr);
    tile.ahead_end = next + piece.panel_bytes();
    tile.ahead_lines = static_cast<int>(div_up(piece.panel_bytes() / 64, tiles * steps));
  }
  const RowsInt8& a = p.a[static_cast<std::size_t>(format.rows)];
  tile.a = a.strip(rows.begin, format);
  for (std::int64_t i = rows.begin; i < rows.end; i += tile.rows) {
    tile.rows = static_cast<int>(std::min(rows.end - i, mr));
    tile.c = sums + (i - rows.begin) * tile.c_row;
    multiply(tile);
    a.advance(tile.a, format);
    if (!direct && next) tile.ahead += steps * tile.ahead_lines * 64;
  }
  if (!in_place) finish(x, sums, nr, rows, col, cols);
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
  const std::int64_t grain =
      reads_directly(x.m, kernels)
          ? std::max(kBytesOfTask / std::max(bytes * x.m, std::int64_t{1}), std::int64_t{1})
          : kPanelsOfTask;
  for (std::int64_t row = 0; row < x.m; row += rows) {
    const Span span{row, std::min(row + rows, x.m)};
    parallel_for(panels, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const auto at = static_cast<std::size_t>(std::ranges::upper_bound(ends, i) - ends.begin());
        const std::int64_t index = i - (at == 0 ? 0 : ends[at - 1]);
        const BlockPiece& piece = b.pieces()[at];
        const bool more = i + 1 < std::min(end, ends[at]);
        run_panel(p, piece, index, span, more ? piece.find(index + 1) : nullptr);
      }
    });
  }
}

}  // namespace stepstone::cpu
