#include "train/config_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/error.h"

namespace stepstone {
namespace {

using testing::HasSubstr;

template <typename F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

ConfigTable parse(std::string_view text, std::vector<std::string> overrides = {}) {
  return ConfigTable::parse(text, "r.toml", overrides);
}

TEST(ConfigTable, ReadsAndOverrides) {
  auto c =
      parse("[train]\nsteps = 10\n[optim]\nlr = 1\nname = 'x'\n",
            {"train.steps=20", "optim.lr=0.5", "data.paths=[\"a\", \"b\"]", "optim.name=muon"});
  EXPECT_EQ(c.integer("train.steps", 0, 1, 100), 20);
  EXPECT_EQ(c.real("optim.lr", 0, 0, 1), 0.5);
  EXPECT_EQ(c.string("optim.name", ""), "muon");
  EXPECT_EQ(c.strings("data.paths"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(c.boolean("train.flag", true), true);
  EXPECT_NO_THROW(c.refuse_unknown());
  EXPECT_EQ(c.to_json()["train"]["steps"], 20);
}

TEST(ConfigTable, SaysWhatIsWrong) {
  EXPECT_THAT(message_of([] { parse("[train]\nsteps = = 1\n"); }), HasSubstr("line 2"));
  EXPECT_THAT(message_of([] { parse("[train]\nsteps='x'").integer("train.steps", 0, 1, 9); }),
              HasSubstr("r.toml: train.steps: expected an integer"));
  EXPECT_THAT(message_of([] { parse("[train]\nsteps=0").integer("train.steps", 1, 1, 9); }),
              HasSubstr("expected 1 to 9, got 0"));
  EXPECT_THAT(message_of([] { parse("[o]\nlr=nan").real("o.lr", 1, 0, 9); }), HasSubstr("o.lr"));
  EXPECT_THAT(message_of([] { parse("", {"novalue"}); }), HasSubstr("expected key=value"));
  EXPECT_THAT(message_of([] { parse("a = 1", {"a.b=2"}); }), HasSubstr("not a section"));
}

TEST(ConfigTable, SuggestsTheKeyThatWasMeant) {
  auto c = parse("[train]\nstpes = 10\n");
  c.integer("train.steps", 0, 1, 100);
  EXPECT_THAT(message_of([&] { c.refuse_unknown(); }),
              HasSubstr("unknown key train.stpes (did you mean \"train.steps\"?)"));
}

}  // namespace
}  // namespace stepstone
