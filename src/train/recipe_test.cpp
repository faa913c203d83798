#include "train/recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"

namespace stepstone {
namespace {

TEST(Recipe, WeightsAreAboveZero) {
  const auto message_of = [](const std::string& weights) {
    try {
      parse_recipe(ConfigTable::parse("[data]\nweights = " + weights, "r.toml", {}), "r");
    } catch (const UsageError& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_EQ(message_of("[0.5, 2]"), "no error");
  for (const std::string bad : {"0", "-1", "nan", "inf", "'x'"}) {
    EXPECT_THAT(message_of("[" + bad + "]"),
                testing::HasSubstr("r.toml: data.weights[0]: expected a number above 0, got "))
        << bad;
    EXPECT_THAT(message_of("[1, " + bad + "]"), testing::HasSubstr("data.weights[1]: ")) << bad;
  }
}

}  // namespace
}  // namespace stepstone
