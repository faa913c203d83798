#include "serve/run_curves.h"

#include <gtest/gtest.h>

#include <fstream>

#include "io/atomic_file.h"
#include "io/test_support.h"

namespace stepstone {
namespace {

constexpr std::size_t kAll = 1 << 30;

TEST(Curve, KeepsFewPointsAsTheyAre) {
  Curve curve;
  for (int i = 0; i < 800; ++i) curve.add(i, 2 * i);
  ASSERT_EQ(curve.points().size(), 800u);
  EXPECT_EQ(curve.points()[7].mean, 14);
  EXPECT_EQ(curve.points()[7].count, 1);
}

TEST(Curve, MergesManyAndLosesNoExtreme) {
  Curve curve;
  constexpr int kCount = 1'000'003;
  for (int i = 0; i < kCount; ++i) curve.add(i, i == 77'777 ? -5.0 : 1.0);
  EXPECT_LE(curve.points().size(), 800u);
  EXPECT_GE(curve.points().size(), 400u);
  double low = 1, before = -1;
  std::int64_t count = 0;
  for (const Curve::Point& p : curve.points()) {
    EXPECT_GT(p.step, before);
    before = p.step;
    low = std::min(low, p.low);
    count += p.count;
  }
  EXPECT_EQ(low, -5);
  EXPECT_EQ(count, kCount);
  const Curve::Point& first = curve.points().front();
  EXPECT_NEAR(first.step, static_cast<double>(first.count - 1) / 2, 1e-6);
}

TEST(Curve, LeavesOutWhatIsNotFinite) {
  Curve curve;
  curve.add(1, std::nan(""));
  curve.add(2, INFINITY);
  EXPECT_TRUE(curve.points().empty());
}

class RunCurvesTest : public ::testing::Test {
 protected:
  void append(const std::string& text) { std::ofstream(log_, std::ios::app) << text; }

  testing::ScratchFolder folder_;
  std::filesystem::path log_ = folder_ / "log.jsonl";
  RunCurves curves_{log_};
};

TEST_F(RunCurvesTest, FollowsALogThatGrows) {
  EXPECT_TRUE(curves_.update(kAll));  // nothing there yet
  EXPECT_TRUE(curves_.curves().empty());
  append("{\"step\":1,\"loss\":3.5,\"lr_scale\":0.1}\n{\"step\":2,\"lo");
  EXPECT_TRUE(curves_.update(kAll));
  EXPECT_EQ(curves_.curves().at("loss").points().size(), 1u);
  EXPECT_EQ(curves_.damaged_lines(), 0);
  const auto version = curves_.version();
  EXPECT_TRUE(curves_.update(kAll));
  EXPECT_EQ(curves_.version(), version);
  append("ss\":3.0}\n{\"step\":2,\"sample\":\"To be\"}\n");
  EXPECT_TRUE(curves_.update(kAll));
  EXPECT_NE(curves_.version(), version);
  EXPECT_EQ(curves_.curves().at("loss").points().back().mean, 3);
  ASSERT_EQ(curves_.samples().size(), 1u);
  EXPECT_EQ(curves_.samples()[0].text, "To be");
}

TEST_F(RunCurvesTest, LeavesOutDamagedLines) {
  append(
      "{\"step\":1,\"loss\":1}\nnonsense\n{\"loss\":2}\n{\"step\":\"x\",\"loss\":2}\n[1]"
      "\n\xff\n\n");
  append(std::string(3 << 20, 'x') +
         "\n{\"step\":3,\"loss\":null,\"grad\":[1]}\n{\"step\":4,\"loss\":4}\n");
  while (!curves_.update(1)) {
  }
  EXPECT_EQ(curves_.damaged_lines(), 6);
  ASSERT_EQ(curves_.curves().size(), 1u);
  EXPECT_EQ(curves_.curves().at("loss").points().size(), 2u);
}

TEST_F(RunCurvesTest, BeginsAgainWhenARunIsResumed) {
  append("{\"step\":1,\"loss\":1}\n{\"step\":2,\"loss\":2}\n");
  curves_.update(kAll);
  write_file(log_, "{\"step\":1,\"loss\":7}\n");
  curves_.update(kAll);
  ASSERT_EQ(curves_.curves().at("loss").points().size(), 1u);
  EXPECT_EQ(curves_.curves().at("loss").points()[0].mean, 7);
}

TEST_F(RunCurvesTest, ReadsAHugeLogInPieces) {
  std::string text;
  for (int i = 1; i <= 60'000; ++i) {
    text += "{\"step\":" + std::to_string(i) + ",\"loss\":" + std::to_string(60'000 - i) +
            ",\"note\":\"" + std::string(40, 'n') + "\"}\n";
  }
  append(text);
  int pieces = 1;
  while (!curves_.update(1 << 20)) ++pieces;
  EXPECT_GE(pieces, 3);
  const auto& points = curves_.curves().at("loss").points();
  EXPECT_LE(points.size(), 800u);
  EXPECT_EQ(points.front().high, 59'999);
  EXPECT_EQ(points.back().low, 0);
}

}  // namespace
}  // namespace stepstone
