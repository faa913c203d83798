#include "train/memory_forecast.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "io/test_support.h"

namespace stepstone {
namespace {

using ::testing::HasSubstr;

Recipe recipe(std::vector<std::string> overrides = {}) {
  Recipe r = parse_recipe(ConfigTable::parse("", "r.toml", overrides), "r");
  r.model.vocab_size = 50257;
  return r;
}

// GPT-2 124M, two rows of 256: `stepstone bench train` took 2.24 GB.
TEST(MemoryForecast, IsNearWhatARunTook) {
  const Recipe r =
      recipe({"model.family=gpt2", "model.layers=12", "model.hidden_size=768", "model.heads=12",
              "optim.kind=adamw", "train.context=256", "train.rows=2"});
  EXPECT_NEAR(forecast_memory(r).total() / 2.24e9, 1, 0.1);
}

TEST(MemoryForecast, GrowsWithWhatTakesMemory) {
  const double base = forecast_memory(recipe()).total();
  EXPECT_GT(forecast_memory(recipe({"train.rows=64"})).total(), base);
  EXPECT_GT(forecast_memory(recipe({"train.ema=0.9"})).total(), base);
  EXPECT_GT(forecast_memory(recipe({"optim.kind=adamw"})).total(), base);
  EXPECT_LT(forecast_memory(recipe({"train.checkpoint_blocks=true"})).total(), base);
}

TEST(MemoryForecast, RefusesWhatCannotFitAndSaysWhatToLower) {
  const Recipe wide = recipe({"train.rows=4096"}),
               deep = recipe({"model.depth=64", "train.rows=1"});
  const auto message = [](const Recipe& r) {
    return testing::message_of<UsageError>([&] { require_memory(r, 1e9); });
  };
  EXPECT_THAT(message(wide), HasSubstr("train.checkpoint_blocks"));
  EXPECT_THAT(message(wide), HasSubstr("1.00 GB are there"));
  EXPECT_THAT(message(deep), HasSubstr("model.depth"));
  const double needed = forecast_memory(wide).total();
  EXPECT_NO_THROW(require_memory(wide, needed));
  EXPECT_NO_THROW(require_memory(wide, 0.9 * needed));
  EXPECT_NO_THROW(require_memory(wide, 0.5 * needed, 0.5 * needed));
  EXPECT_THROW(require_memory(wide, 0.7 * needed), UsageError);
}

TEST(MemoryForecast, WhatIsThere) {
  const testing::ScratchFolder folder;
  const std::string here = folder.path().string();
  EXPECT_TRUE(std::isinf(available_memory(here, here)));
  testing::put(folder / "meminfo", "MemTotal: 900 kB\nMemAvailable: 500 kB\nSwapFree: 100 kB\n");
  EXPECT_EQ(available_memory(here, here), 600 * 1024);
  testing::put(folder / "memory.max", "max\n");
  testing::put(folder / "memory.current", "1000\n");
  EXPECT_EQ(available_memory(here, here), 600 * 1024);
  testing::put(folder / "memory.max", "5000\n");
  EXPECT_EQ(available_memory(here, here), 4000);
  EXPECT_GT(available_memory(), 0);
}

}  // namespace
}  // namespace stepstone
