#include "core/tensor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace stepstone {
namespace {

TEST(Bf16, RoundsToNearestEvenAndKeepsNaN) {
  EXPECT_EQ(bf16(1.0f).bits, 0x3f80);
  EXPECT_EQ(bf16(std::bit_cast<float>(0x3f808000u)).bits, 0x3f80);  // tie: to even
  EXPECT_EQ(bf16(std::bit_cast<float>(0x3f818000u)).bits, 0x3f82);
  EXPECT_EQ(bf16(std::bit_cast<float>(0x3f808001u)).bits, 0x3f81);
  EXPECT_TRUE(std::isnan(static_cast<float>(bf16(std::bit_cast<float>(0x7f800001u)))));
  EXPECT_TRUE(std::isinf(static_cast<float>(bf16(std::numeric_limits<float>::max()))));
}

TEST(Shape, RefusesWhatCannotBe) {
  EXPECT_THROW((Shape{1, -1}), UsageError);
  EXPECT_THROW((Shape{std::int64_t{1} << 32, std::int64_t{1} << 32}), UsageError);
  EXPECT_EQ((Shape{2, 0, 3}).numel(), 0);
  EXPECT_EQ(to_string(Shape{2, 3}), "[2, 3]");
}

TEST(Tensor, ViewsShareMemory) {
  Tensor t = Tensor::zeros({4, 3}, DType::f32);
  t.slice(1, 3).reshape({6}).data<float>()[5] = 7;
  EXPECT_EQ(t.data<float>()[8], 7);
  EXPECT_THROW(t.slice(3, 5), UsageError);
  EXPECT_THROW(t.data<bf16>(), UsageError);
  EXPECT_EQ(t.slice(2, 2).numel(), 0);
}

TEST(Tensor, ConvertsThroughBf16) {
  const float values[] = {1.0f, -2.5f, 3.0e38f};
  const Tensor t = Tensor::from<float>(values, {3}).to(DType::bf16).to(DType::f32);
  EXPECT_EQ(t.data<float>()[1], -2.5f);
  EXPECT_NEAR(t.data<float>()[2], 3.0e38f, 1.2e36f);
}

TEST(Allocator, ReusesFreedBlocks) {
  const auto before = allocator_stats();
  void* first;
  {
    const Tensor t = Tensor::empty({1 << 20}, DType::f32);
    first = t.raw();
  }
  const Tensor again = Tensor::empty({(1 << 20) - 5}, DType::f32);
  EXPECT_EQ(again.raw(), first);
  EXPECT_GT(allocator_stats().live_bytes, before.live_bytes);
  EXPECT_THROW(Tensor::empty({std::int64_t{1} << 60}, DType::f32), Error);
}

}  // namespace
}  // namespace stepstone
