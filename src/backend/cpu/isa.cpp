#include "backend/cpu/isa.h"

#include <hwy/targets.h>

#include <atomic>
#include <cstdlib>
#include <mutex>

#include "core/error.h"

namespace stepstone::cpu {
namespace {

constexpr std::string_view kNames[] = {"portable", "avx2", "avx512", "avx512bf16"};

bool has(Isa isa) {
#if defined(__x86_64__)
  switch (isa) {
    case Isa::portable:
      return true;
    case Isa::avx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case Isa::avx512:
      return has(Isa::avx2) && __builtin_cpu_supports("avx512f") &&
             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("avx512vl");
    case Isa::avx512bf16:
      return has(Isa::avx512) && __builtin_cpu_supports("avx512bf16");
  }
#endif
  return isa == Isa::portable;
}

Isa fastest() {
  Isa best = supported_isas().back();
  if (best == Isa::avx512bf16 && !is_amd()) best = Isa::avx512;
  return best;
}

Isa from_environment() {
  const char* name = std::getenv("STEPSTONE_ISA");
  if (name == nullptr || *name == '\0') return fastest();
  for (Isa isa : {Isa::portable, Isa::avx2, Isa::avx512, Isa::avx512bf16}) {
    if (name_of(isa) != name) continue;
    require<UsageError>(has(isa), "STEPSTONE_ISA={}: this CPU does not have it", name);
    return isa;
  }
  throw UsageError(
      fmt::format("STEPSTONE_ISA={}: expected one of portable, avx2, avx512, avx512bf16", name));
}

void limit_highway(Isa isa) {
  // Every x86 target better than AVX2 has a lower bit than HWY_AVX2.
  hwy::DisableTargets(isa <= Isa::avx2 ? HWY_AVX2 - 1 : 0);
}

std::atomic<Isa> chosen;
std::once_flag chosen_once;

}  // namespace

bool is_amd() {
#if defined(__x86_64__)
  return __builtin_cpu_is("amd");
#else
  return false;
#endif
}

Isa isa() {
  std::call_once(chosen_once, [] {
    chosen = from_environment();
    limit_highway(chosen);
  });
  return chosen.load(std::memory_order_relaxed);
}

void set_isa(Isa wanted) {
  require<UsageError>(has(wanted), "instruction set {}: this CPU does not have it",
                      name_of(wanted));
  isa();
  chosen = wanted;
  limit_highway(wanted);
}

std::vector<Isa> supported_isas() {
  std::vector<Isa> isas;
  for (Isa isa : {Isa::portable, Isa::avx2, Isa::avx512, Isa::avx512bf16}) {
    if (has(isa)) isas.push_back(isa);
  }
  return isas;
}

namespace {
// Programs that never call isa() (tests, benches) obey the environment too. A value that cannot be
// is left for the first call to report.
[[maybe_unused]] const bool obeyed_at_start = [] {
  try {
    isa();
    return true;
  } catch (const UsageError&) {
    return false;
  }
}();
}  // namespace

std::string_view name_of(Isa isa) { return kNames[static_cast<int>(isa)]; }

}  // namespace stepstone::cpu
