#include "optim/schedule.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace stepstone {
namespace {

TEST(Schedule, WarmupStableDecay) {
  const Schedule s{.kind = ScheduleKind::wsd, .steps = 100, .warmup = 9, .decay = 0.5};
  EXPECT_DOUBLE_EQ(s.at(0), 0.1);
  EXPECT_DOUBLE_EQ(s.at(8), 0.9);
  EXPECT_DOUBLE_EQ(s.at(9), 1.0);
  EXPECT_DOUBLE_EQ(s.at(50), 1.0);
  EXPECT_DOUBLE_EQ(s.at(75), 0.5);
  EXPECT_GT(s.at(99), 0);
}

TEST(Schedule, CosineEndsAtFinalScale) {
  const Schedule s{.kind = ScheduleKind::cosine, .steps = 100, .warmup = 0, .final_scale = 0.1};
  EXPECT_DOUBLE_EQ(s.at(0), 1.0);
  EXPECT_NEAR(s.at(50), 0.55, 1e-12);
  EXPECT_NEAR(s.at(99), 0.1, 1e-3);
}

TEST(Schedule, NamesAreChecked) {
  EXPECT_EQ(schedule_kind("linear"), ScheduleKind::linear);
  EXPECT_THROW(schedule_kind("cosin"), UsageError);
}

}  // namespace
}  // namespace stepstone
