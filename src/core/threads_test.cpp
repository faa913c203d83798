#include "core/threads.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

#include "core/error.h"

namespace stepstone {
namespace {

class Threads : public testing::Test {
 protected:
  void SetUp() override { before_ = num_threads(); }
  void TearDown() override { set_num_threads(before_); }
  int before_ = 1;
};

TEST_F(Threads, EveryIndexOnceForEveryPoolSize) {
  for (const int size : {1, 2, 5}) {
    set_num_threads(size);
    for (const std::int64_t n : {0, 1, 7, 64, 1000}) {
      std::vector<std::atomic<int>> hits(static_cast<std::size_t>(n));
      parallel_for(n, 7, [&](std::int64_t begin, std::int64_t end) {
        EXPECT_EQ(begin % 7, 0);
        for (std::int64_t i = begin; i < end; ++i) ++hits[static_cast<std::size_t>(i)];
      });
      for (const auto& h : hits) EXPECT_EQ(h, 1);
    }
  }
}

TEST_F(Threads, ManySmallJobsInARow) {
  set_num_threads(3);
  std::atomic<std::int64_t> sum{0};
  for (int job = 0; job < 20000; ++job) {
    parallel_for(4, 1, [&](std::int64_t begin, std::int64_t) { sum += begin; });
  }
  EXPECT_EQ(sum, 20000 * 6);
}

TEST_F(Threads, NestedAndConcurrentCallsRun) {
  set_num_threads(2);
  std::atomic<int> count{0};
  const auto outer = [&] {
    for (int i = 0; i < 200; ++i) {
      parallel_for(8, 1, [&](std::int64_t, std::int64_t) {
        EXPECT_TRUE(in_parallel() || num_threads() == 2);
        parallel_for(3, 1, [&](std::int64_t, std::int64_t) { ++count; });
      });
    }
  };
  std::thread other(outer);
  outer();
  other.join();
  EXPECT_EQ(count, 2 * 200 * 8 * 3);
  EXPECT_FALSE(in_parallel());
}

TEST_F(Threads, AnExceptionReachesTheCallerAndThePoolGoesOn) {
  set_num_threads(2);
  EXPECT_THROW(parallel_for(100, 1,
                            [](std::int64_t begin, std::int64_t) {
                              if (begin == 37) throw std::runtime_error("piece 37");
                            }),
               std::runtime_error);
  std::atomic<int> count{0};
  parallel_for(100, 1, [&](std::int64_t, std::int64_t) { ++count; });
  EXPECT_EQ(count, 100);
  EXPECT_THROW(set_num_threads(0), UsageError);
}

}  // namespace
}  // namespace stepstone
