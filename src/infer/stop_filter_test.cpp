#include "infer/stop_filter.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace stepstone {
namespace {

// The text shown when `text` comes in pieces of `size` bytes.
std::string shown(const std::vector<std::string>& stops, const std::string& text,
                  std::size_t size) {
  StopFilter filter(stops);
  std::string out;
  for (std::size_t i = 0; i < text.size() && !filter.stopped(); i += size) {
    out += filter.push(text.substr(i, size));
    for (const std::string& stop : stops) {
      EXPECT_EQ(out.find(stop), std::string::npos);
    }
  }
  return filter.stopped() ? out : out + filter.flush();
}

TEST(StopFilter, SameTextHoweverItIsCut) {
  struct Case {
    std::vector<std::string> stops;
    std::string text, expected;
  };
  const std::vector<Case> cases = {
      {{}, "all of it", "all of it"},
      {{"\n"}, "one\ntwo", "one"},
      {{"END"}, "ENEEND more", "ENE"},
      {{"END"}, "no EN", "no EN"},
      {{"aab"}, "aaab", "a"},
      {{"abab"}, "ababab", ""},
      {{"Human:", "\n\n"}, "yes\n\nHuman: x", "yes"},
      {{"bcd", "c"}, "abcd", "ab"},  // "c" is complete first
      {{"cd", "bcd"}, "abcd", "a"},
      {{"。"}, "你好。再见", "你好"},
  };
  for (const Case& c : cases) {
    for (std::size_t size = 1; size <= c.text.size(); ++size) {
      EXPECT_EQ(shown(c.stops, c.text, size), c.expected) << c.text << " by " << size;
    }
  }
}

TEST(StopFilter, HoldsBackNoMoreThanItMust) {
  StopFilter filter({"stop"});
  EXPECT_EQ(filter.push("abc st"), "abc ");
  EXPECT_EQ(filter.push("x"), "stx");
  EXPECT_EQ(filter.push("sto"), "");
  EXPECT_EQ(filter.push("p and more"), "");
  EXPECT_TRUE(filter.stopped());
  EXPECT_EQ(filter.found(), "stop");
  EXPECT_EQ(filter.push("later"), "");
}

TEST(StopFilter, RefusesWhatIsNoText) {
  EXPECT_THROW(StopFilter({"a", ""}), UsageError);
  EXPECT_THROW(StopFilter({"\xE4\xBD"}), UsageError);
}

}  // namespace
}  // namespace stepstone
