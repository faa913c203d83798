#include "train/run_tables.h"

#include <gtest/gtest.h>

#include "io/test_support.h"

namespace stepstone {
namespace {

RunRecord record(std::int64_t id, std::vector<std::int64_t> parents) {
  RunRecord run;
  run.id = id;
  run.name = "model-" + std::to_string(id);
  run.kind = "train";
  run.parents = std::move(parents);
  run.recipe = {{"optim", {{"lr", 0.01}}}, {"train", {{"steps", 100}}}};
  run.scores = {{"val_loss", 2.0}};
  return run;
}

TEST(RunTables, DifferencesAreLeafByLeaf) {
  const RunRecord a = record(1, {});
  RunRecord b = record(2, {});
  EXPECT_TRUE(run_differences(a, a).empty());
  EXPECT_EQ(differences_table(a, a), "no difference\n");
  b.recipe["optim"]["lr"] = 0.02;
  b.recipe["optim"]["kind"] = "muon";
  b.scores["val_loss"] = 1.5;
  const auto differences = run_differences(a, b);
  ASSERT_EQ(differences.size(), 3u);
  EXPECT_EQ(differences[0].field, "recipe.optim.kind");
  EXPECT_TRUE(differences[0].first.is_null());
  EXPECT_EQ(differences[1].field, "recipe.optim.lr");
  EXPECT_EQ(differences[2].field, "scores.val_loss");
  const std::string table = differences_table(a, b);
  EXPECT_NE(table.find("-0.5"), std::string::npos);
  EXPECT_NE(table.find("muon"), std::string::npos);
}

TEST(RunTables, LineageShowsSharedAncestorsOnce) {
  const std::string tree =
      lineage_tree({record(4, {2, 3}), record(2, {1}), record(3, {1}), record(1, {})});
  EXPECT_EQ(tree,
            "4 model-4 (train)  val_loss 2.0000\n"
            "  from 2 model-2 (train)  val_loss 2.0000\n"
            "    from 1 model-1 (train)  val_loss 2.0000\n"
            "  from 3 model-3 (train)  val_loss 2.0000\n"
            "    from 1 model-1 (train)  val_loss 2.0000  (see above)\n");
}

TEST(RunTables, RunsAreFoundByNumberAndFolder) {
  const testing::ScratchFolder folder;
  RunRegistry registry(folder / "runs.db");
  RunRecord run = record(0, {});
  run.out_dir = folder / "model";
  const std::int64_t id = registry.insert(run);
  EXPECT_EQ(find_run(registry, std::to_string(id)).name, "model-0");
  EXPECT_EQ(find_run(registry, (folder / "model").string()).id, id);
  EXPECT_THROW(find_run(registry, "99"), UsageError);
  EXPECT_THROW(find_run(registry, "elsewhere"), UsageError);
  const std::string table = runs_table(registry.list());
  EXPECT_NE(table.find("model-0"), std::string::npos);
  EXPECT_NE(table.find("running"), std::string::npos);
  EXPECT_NE(run_text(registry.get(id)).find("recipe.optim.lr"), std::string::npos);
  EXPECT_EQ(to_json(registry.get(id))["recipe"]["train"]["steps"], 100);
}

}  // namespace
}  // namespace stepstone
