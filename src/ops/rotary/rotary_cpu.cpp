#include "ops/rotary/rotary_cpu.h"

#include <cmath>
#include <vector>

#include "core/threads.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/rotary/rotary_cpu.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h:
#include "backend/cpu/simd-inl.h"
#include "ops/column_sum-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stepstone::HWY_NAMESPACE {

using cpu::RotaryArgs;

// Turns x[head_dim] in place by the angles of one position, or back by them.
class HeadRotation {
 public:
  HeadRotation(const RotaryArgs& args, std::int64_t row, bool back)
      : half_(args.rotary_dim / 2), interleaved_(args.interleaved), back_(back) {
    if (half_ == 0) return;
    const std::int64_t position = args.positions.data<std::int32_t>()[row];
    cos_ = args.cos.data<float>() + position * half_;
    sin_ = args.sin.data<float>() + position * half_;
  }

  void operator()(float* x) const {
    const std::int64_t step = lanes();
    std::int64_t i = 0;
    for (; i + step <= half_; i += step) {
      const auto c = load(cos_ + i);
      const auto s = signed_sine(load(sin_ + i));
      VecF32 a, b;
      if (interleaved_) {
        hn::LoadInterleaved2(kF32, x + 2 * i, a, b);
        hn::StoreInterleaved2(first(a, b, c, s), second(a, b, c, s), kF32, x + 2 * i);
      } else {
        a = load(x + i);
        b = load(x + half_ + i);
        store(first(a, b, c, s), x + i);
        store(second(a, b, c, s), x + half_ + i);
      }
    }
    const std::int64_t n = half_ - i;
    if (n > 0) tail(x, i, n);
  }

 private:
  // The same instructions on padded vectors.
  void tail(float* x, std::int64_t i, std::int64_t n) const {
    const auto c = load_n(cos_ + i, n);
    const auto s = signed_sine(load_n(sin_ + i, n));
    if (!interleaved_) {
      const auto a = load_n(x + i, n), b = load_n(x + half_ + i, n);
      store_n(first(a, b, c, s), x + i, n);
      store_n(second(a, b, c, s), x + half_ + i, n);
      return;
    }
    HWY_ALIGN float pair[2 * HWY_MAX_BYTES / sizeof(float)] = {};
    std::memcpy(pair, x + 2 * i, static_cast<std::size_t>(2 * n) * sizeof(float));
    VecF32 a, b;
    hn::LoadInterleaved2(kF32, pair, a, b);
    hn::StoreInterleaved2(first(a, b, c, s), second(a, b, c, s), kF32, pair);
    std::memcpy(x + 2 * i, pair, static_cast<std::size_t>(2 * n) * sizeof(float));
  }

  VecF32 signed_sine(VecF32 s) const { return back_ ? hn::Neg(s) : s; }
  static VecF32 first(VecF32 a, VecF32 b, VecF32 c, VecF32 s) {
    return hn::NegMulAdd(b, s, hn::Mul(a, c));
  }
  static VecF32 second(VecF32 a, VecF32 b, VecF32 c, VecF32 s) {
    return hn::MulAdd(a, s, hn::Mul(b, c));
  }

  std::int64_t half_;
  bool interleaved_, back_;
  const float* cos_ = nullptr;
  const float* sin_ = nullptr;
};

template <typename From, typename To>
static void convert(std::int64_t n, const From* from, To* to) {
  map(
      n, [](VecF32 v) HWY_ATTR { return v; }, to, from);
}

static const float* norm_weight(const RotaryArgs& args, std::int64_t head) {
  const Tensor& w = head < args.heads ? args.q_norm : args.k_norm;
  return w.defined() ? w.data<float>() : nullptr;
}

template <typename T, typename Y>
static void forward_row(const RotaryArgs& args, std::int64_t row, const T* x, Y* y, float* scale,
                        float* buffer) {
  const std::int64_t d = args.head_dim;
  const HeadRotation rotate(args, row, false);
  const std::int64_t rotated = args.heads + args.kv_heads;
  for (std::int64_t h = 0; h < rotated; ++h) {
    const T* head = x + h * d;
    if (const float* w = norm_weight(args, h)) {
      const float squares = map_sum(
          d, [](VecF32 v) HWY_ATTR { return hn::Mul(v, v); }, head);
      scale[h] = 1.0f / std::sqrt(squares / static_cast<float>(d) + args.norm_eps);
      const auto s = hn::Set(kF32, scale[h]);
      map(
          d, [=](VecF32 v, VecF32 u) HWY_ATTR { return hn::Mul(hn::Mul(v, s), u); }, buffer, head,
          w);
    } else {
      convert(d, head, buffer);
    }
    rotate(buffer);
    convert(d, buffer, y + h * d);
  }
  convert(args.kv_heads * d, x + rotated * d, y + rotated * d);
}

// dn of one head: the incoming gradient turned back.
template <typename G>
static void turn_back(const RotaryArgs& args, const HeadRotation& rotate, const G* dy, float* dn) {
  convert(args.head_dim, dy, dn);
  rotate(dn);
}

// g[d] becomes the gradient of the head before its norm.
template <typename T>
static void norm_backward(std::int64_t d, const T* x, const float* w, float scale, float* g) {
  const float dot = map_sum(
      d, [](VecF32 a, VecF32 b, VecF32 c) HWY_ATTR { return hn::Mul(hn::Mul(a, c), b); }, x, g, w);
  const auto s = hn::Set(kF32, scale);
  const auto c = hn::Set(kF32, scale * scale * scale * dot / static_cast<float>(d));
  map(
      d,
      [=](VecF32 v, VecF32 u, VecF32 grad)
          HWY_ATTR { return hn::Sub(hn::Mul(hn::Mul(grad, u), s), hn::Mul(v, c)); },
      g, x, w, g);
}

template <typename T>
static void add_or_write(std::int64_t n, const float* g, T* out, bool accumulate) {
  if (accumulate) {
    map(
        n, [](VecF32 v, VecF32 old) HWY_ATTR { return hn::Add(old, v); }, out, g, out);
  } else {
    convert(n, g, out);
  }
}

static std::int64_t rotary_grain(std::int64_t cols) {
  return std::max<std::int64_t>(1, 16384 / (cols + 1));
}

void RotaryForward(const RotaryArgs& args, const Tensor& qkv, const Tensor& y,
                   const Tensor& inverse_rms) {
  const std::int64_t cols = qkv.cols(), rotated = args.heads + args.kv_heads;
  float* scale = inverse_rms.defined() ? inverse_rms.data<float>() : nullptr;
  dispatch(qkv, [&](auto* x) {
    dispatch(y, [&](auto* out) {
      parallel_for(qkv.rows(), rotary_grain(cols), [&](std::int64_t begin, std::int64_t end) {
        std::vector<float> buffer(static_cast<std::size_t>(args.head_dim));
        for (std::int64_t i = begin; i < end; ++i) {
          forward_row(args, i, x + i * cols, out + i * cols, scale ? scale + i * rotated : nullptr,
                      buffer.data());
        }
      });
    });
  });
}

void RotaryBackwardQkv(const RotaryArgs& args, const Tensor& qkv, const Tensor& inverse_rms,
                       const Tensor& dy, const Tensor& dqkv, bool accumulate) {
  const std::int64_t d = args.head_dim, cols = qkv.cols(), rotated = args.heads + args.kv_heads;
  const float* scale = inverse_rms.defined() ? inverse_rms.data<float>() : nullptr;
  dispatch(qkv, [&](auto* x) {
    dispatch(dy, [&](auto* grad) {
      auto* out = dqkv.data<std::remove_pointer_t<decltype(x)>>();
      parallel_for(qkv.rows(), rotary_grain(cols), [&](std::int64_t begin, std::int64_t end) {
        std::vector<float> buffer(static_cast<std::size_t>(args.kv_heads * d));
        for (std::int64_t i = begin; i < end; ++i) {
          const HeadRotation rotate(args, i, true);
          for (std::int64_t h = 0; h < rotated; ++h) {
            const std::int64_t at = i * cols + h * d;
            turn_back(args, rotate, grad + at, buffer.data());
            if (const float* w = norm_weight(args, h)) {
              norm_backward(d, x + at, w, scale[i * rotated + h], buffer.data());
            }
            add_or_write(d, buffer.data(), out + at, accumulate);
          }
          const std::int64_t at = i * cols + rotated * d;
          convert(args.kv_heads * d, grad + at, buffer.data());
          add_or_write(args.kv_heads * d, buffer.data(), out + at, accumulate);
        }
      });
    });
  });
}

void RotaryBackwardNorm(const RotaryArgs& args, bool query, const Tensor& qkv,
                        const Tensor& inverse_rms, const Tensor& dy, const Tensor& dweight,
                        bool accumulate) {
  const std::int64_t d = args.head_dim, cols = qkv.cols(), rotated = args.heads + args.kv_heads;
  const std::int64_t first = query ? 0 : args.heads;
  const std::int64_t last = query ? args.heads : rotated;
  const float* scale = inverse_rms.data<float>();
  dispatch(qkv, [&](auto* x) {
    dispatch(dy, [&](auto* grad) {
      column_sum(qkv.rows(), d, dweight.data<float>(), accumulate,
                 [&](std::int64_t i, float* sum) HWY_ATTR {
                   std::vector<float> buffer(static_cast<std::size_t>(d));
                   const HeadRotation rotate(args, i, true);
                   for (std::int64_t h = first; h < last; ++h) {
                     const std::int64_t at = i * cols + h * d;
                     turn_back(args, rotate, grad + at, buffer.data());
                     const auto s = hn::Set(kF32, scale[i * rotated + h]);
                     map(
                         d,
                         [=](VecF32 old, VecF32 v, VecF32 g)
                             HWY_ATTR { return hn::MulAdd(hn::Mul(v, s), g, old); },
                         sum, sum, x + at, static_cast<const float*>(buffer.data()));
                   }
                 });
    });
  });
}

}  // namespace stepstone::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stepstone::cpu {

HWY_EXPORT(RotaryForward);
HWY_EXPORT(RotaryBackwardQkv);
HWY_EXPORT(RotaryBackwardNorm);

void rotary_forward(const RotaryArgs& args, const Tensor& qkv, const Tensor& y,
                    const Tensor& inverse_rms) {
  HWY_DYNAMIC_DISPATCH(RotaryForward)(args, qkv, y, inverse_rms);
}
void rotary_backward_qkv(const RotaryArgs& args, const Tensor& qkv, const Tensor& inverse_rms,
                         const Tensor& dy, const Tensor& dqkv, bool accumulate) {
  HWY_DYNAMIC_DISPATCH(RotaryBackwardQkv)(args, qkv, inverse_rms, dy, dqkv, accumulate);
}
void rotary_backward_norm(const RotaryArgs& args, bool query, const Tensor& qkv,
                          const Tensor& inverse_rms, const Tensor& dy, const Tensor& dweight,
                          bool accumulate) {
  HWY_DYNAMIC_DISPATCH(RotaryBackwardNorm)(args, query, qkv, inverse_rms, dy, dweight, accumulate);
}

}  // namespace stepstone::cpu
#endif
