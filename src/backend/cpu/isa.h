// Which instruction set the CPU kernels use.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace stepstone::cpu {

// Each one contains those before it.
//   portable    Highway at the compiler's baseline; the only one off x86-64
//   avx2        AVX2 + FMA, the floor on x86-64
//   avx512      AVX-512 F, BW, DQ, VL
//   avx512bf16  avx512 whose bf16 products go through vdpbf16ps
enum class Isa : std::uint8_t { portable, avx2, avx512, avx512bf16 };

// The instruction set in use, decided at the first call: the fastest that this CPU has, or a lower
// one if the environment variable STEPSTONE_ISA names it (throws UsageError for an unknown name or
// one that the CPU lacks). Call it before the first HWY_DYNAMIC_DISPATCH: it also disables
// Highway's targets above the chosen one.
//
// "Fastest" leaves avx512bf16 to CPUs where vdpbf16ps beats f32 FMA: AMD from Zen 4 on (2 times the
// f32 rate). Intel's Cooper Lake to Emerald Rapids run it at half the f32 rate, so they stay at
// avx512 unless STEPSTONE_ISA=avx512bf16 asks for it.
Isa isa();

// Switches at run time, for tests that go through supported_isas(). Not while kernels run.
void set_isa(Isa isa);

// All that this CPU can execute, in rising order.
std::vector<Isa> supported_isas();

std::string_view name_of(Isa isa);

// For choices that no instruction set tells: who made this CPU.
bool is_amd();

}  // namespace stepstone::cpu
