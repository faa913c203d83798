// Fails when an op of ops.def is incomplete.
#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <string>

#include "ops/op.h"

namespace stepstone::ops {
namespace {

std::set<std::string> test_suites() {
  std::set<std::string> names;
  const auto& unit = *testing::UnitTest::GetInstance();
  for (int i = 0; i < unit.total_test_suite_count(); ++i) {
    names.insert(unit.GetTestSuite(i)->name());
  }
  return names;
}

TEST(Registry, EveryOpIsComplete) {
  const auto suites = test_suites();
  std::set<std::string_view> names;
  for (const OpInfo* op : all_ops()) {
    SCOPED_TRACE(std::string(op->name));
    EXPECT_TRUE(names.insert(op->name).second) << "the name is taken";
    EXPECT_FALSE(op->formula.empty());
    EXPECT_FALSE(op->inputs.empty());
    EXPECT_NE(op->cost, nullptr);
    EXPECT_TRUE(suites.contains("Op_" + std::string(op->name)))
        << "no test: write TEST(Op_" << op->name << ", ...) in src/ops/" << op->name << "/"
        << op->name << "_test.cpp";
    const auto folder = std::filesystem::path(STEPSTONE_SOURCE_DIR) / "src/ops" / op->name;
    EXPECT_TRUE(std::filesystem::exists(folder / (std::string(op->name) + ".h")));
  }
}

TEST(Registry, EveryFolderIsRegistered) {
  std::set<std::string> names;
  for (const OpInfo* op : all_ops()) names.emplace(op->name);
  const auto ops = std::filesystem::path(STEPSTONE_SOURCE_DIR) / "src/ops";
  for (const auto& entry : std::filesystem::directory_iterator(ops)) {
    if (entry.is_directory() && entry.path().filename() != "testing") {
      EXPECT_TRUE(names.contains(entry.path().filename())) << entry.path() << " is not in ops.def";
    }
  }
}

}  // namespace
}  // namespace stepstone::ops
