// Block formats against the reference implementations (make_quant_goldens.py).
#include <gtest/gtest.h>

#include "io/safetensors.h"
#include "quant/dequantize.h"
#include "quant/quantize.h"

namespace stepstone {
namespace {

class QuantGolden : public testing::TestWithParam<BlockInfo> {
 protected:
  QuantGolden()
      : golden_(SafetensorsFile::open(std::filesystem::path(STEPSTONE_SOURCE_DIR) /
                                      "tests/golden/quant/golden.safetensors")) {}
  Tensor golden(std::string_view what) const {
    return golden_.tensor(fmt::format("{}.{}", GetParam().name, what));
  }

  SafetensorsFile golden_;
};

TEST_P(QuantGolden, Dequantises) {
  const Tensor blocks = golden("blocks"), values = golden("values");
  std::vector<float> got(static_cast<std::size_t>(values.numel()));
  dequantize(GetParam().type, std::as_bytes(blocks.span<std::uint8_t>()), got);
  const auto expected = values.span<float>();
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_FLOAT_EQ(got[i], expected[i]) << i;
  }
}

// The squared error is at most that of ggml's reference quantiser.
TEST_P(QuantGolden, QuantisesNoWorse) {
  const Tensor x = golden_.tensor("x"), reference = golden("error");
  for (std::int64_t row = 0; row < x.dim(0); ++row) {
    const std::span<const float> values = x.slice(row, row + 1).span<float>();
    std::vector<std::byte> blocks(bytes_of(GetParam().type, values.size()));
    quantize(GetParam().type, values, blocks);
    std::vector<float> back(values.size());
    dequantize(GetParam().type, blocks, back);
    double error = 0;
    for (std::size_t i = 0; i < back.size(); ++i) {
      error += (static_cast<double>(back[i]) - values[i]) * (back[i] - values[i]);
    }
    const double theirs = reference.data<float>()[row];
    EXPECT_LE(error, theirs * 1.00001) << "row " << row;
    RecordProperty(fmt::format("ratio_{}", row), fmt::format("{:.3f}", error / theirs));
  }
}

TEST(Quant, RefusesWhatItCannotHold) {
  std::vector<float> x(256, 1.0f);
  std::vector<std::byte> blocks(bytes_of(BlockType::q4_0, 256));
  x[7] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(quantize(BlockType::q4_0, x, blocks), Error);
  x[7] = 1e9f;
  EXPECT_THROW(quantize(BlockType::q4_0, x, blocks), Error);
  EXPECT_THROW(quantize(BlockType::q4_1, x, blocks), UsageError);
  EXPECT_THROW(quantize(BlockType::i32, x, blocks), UsageError);
  EXPECT_THROW(dequantize(BlockType::q4_0, blocks, std::span(x).first(32)), UsageError);
}

TEST(Quant, ZerosAndConstantsSurvive) {
  for (const BlockInfo& info : block_types()) {
    if (!info.weights) continue;
    for (const float value : {0.0f, 1.0f, -0.5f}) {
      const std::vector<float> x(256, value);
      std::vector<std::byte> blocks(bytes_of(info.type, x.size()));
      quantize(info.type, x, blocks);
      std::vector<float> back(x.size());
      dequantize(info.type, blocks, back);
      for (const float y : back) ASSERT_NEAR(y, value, std::abs(value) * 0.004) << info.name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, QuantGolden, testing::ValuesIn([] {
                           std::vector<BlockInfo> infos;
                           for (const BlockInfo& info : block_types()) {
                             if (info.elements > 1) infos.push_back(info);
                           }
                           return infos;
                         }()),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace stepstone
