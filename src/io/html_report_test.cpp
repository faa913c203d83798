#include "io/html_report.h"

#include <cmath>
#include <limits>

#include "core/random.h"
#include "io/file.h"
#include "io/html_chart.h"
#include "io/html_text.h"
#include "io/test_support.h"

namespace stepstone {
namespace {

using testing::ScratchFolder;

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t n = 0;
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
  return n;
}

ReportData sample() {
  ReportData data;
  data.title = "speedrun: small-world, depth 6";
  data.subtitle = "run 12 · 2.9 M parameters · trained on two cores in 4 min 12 s";
  data.figures = {{"Validation", "0.812", "bits per byte"},
                  {"Parameters", "2.9 M", "depth 6, width 192"},
                  {"Speed", "41.3k", "tokens per second"},
                  {"Right answers", "94.2 %", "held-out questions"},
                  {"Time", "4:12", "of 5:00 allowed"}};
  Random random(1);
  ReportChart loss{.title = "Loss", .x_label = "step", .series = {}, .log_y = true};
  ReportSeries train{"training", {}, {}, true}, valid{"validation", {}, {}};
  for (int step = 0; step < 1500; ++step) {
    const double value = 1.1 + 4.2 * std::exp(-step / 120.0) + 0.6 * std::exp(-step / 900.0);
    train.x.push_back(step);
    train.y.push_back(value * (1 + 0.05 * random.normal()));
    if (step % 100 == 99) {
      valid.x.push_back(step);
      valid.y.push_back(value * 1.02);
    }
  }
  loss.series = {train, valid};
  ReportChart rate{.title = "Learning rate", .x_label = "step", .series = {}};
  rate.series = {{"matrices", {0, 50, 1100, 1499}, {0, 0.02, 0.02, 0}},
                 {"embeddings", {0, 50, 1100, 1499}, {0, 0.006, 0.006, 0}}};
  data.charts = {loss, rate};
  data.scores = {{"Arithmetic", 0.971, 0.955, 0.982, "600 questions"},
                 {"Facts, English", 0.948, 0.927, 0.963, "600 questions"},
                 {"Facts, Chinese 中文", 0.935, 0.912, 0.952, "600 questions"},
                 {"Sorting", 0.62, 0.53, 0.70, "120 questions"}};
  data.chat = {{"system", "You are a helpful assistant."},
               {"user", "Who has the red ball?"},
               {"assistant", "Anna has the red ball. She found it in the garden."},
               {"user", "小明在哪里？"},
               {"assistant", "小明在厨房里，他在找他的书。"}};
  data.samples = {{"step 500, temperature 0.8", "Once upon a time",
                   " there was a small dog called Rex. Rex had a blue hat.\nOne day he lost it."},
                  {"step 1500, temperature 0.8", "从前", "有一只小猫，她住在河边的小房子里。"}};
  data.tables = {
      {"Model",
       {{"Layers", "6"}, {"Width", "192"}, {"Heads", "6 (2 for keys)"}, {"Vocabulary", "4,096"}}},
      {"Run",
       {{"Seed", "1337"},
        {"Code", "0.1.0+bffe743"},
        {"Data", "xxh3:99aa06d3014798d86001c324468d497f"}}}};
  data.config = "[model]\ndepth = 6\n\n[train]\nsteps = 1500\nseed = 1337\n";
  return data;
}

TEST(HtmlText, Escapes) {
  EXPECT_EQ(html_escape("<a href=\"x\">'&'</a>"),
            "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;");
  EXPECT_EQ(html_escape("中\tb\nc\r\n"), "中\tb\nc\n");
  EXPECT_EQ(html_escape(std::string("\0\x1b\x7f\xff", 4)),
            "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

TEST(HtmlChart, Ticks) {
  using Ticks = std::vector<double>;
  EXPECT_EQ(axis_ticks(0, 10, 5), (Ticks{0, 2, 4, 6, 8, 10}));
  EXPECT_EQ(axis_ticks(0, 1000, 5), (Ticks{0, 200, 400, 600, 800, 1000}));
  EXPECT_EQ(axis_ticks(0, 1499, 6), (Ticks{0, 250, 500, 750, 1000, 1250}));
  EXPECT_EQ(axis_ticks(-1, 1, 4), (Ticks{-1, -0.5, 0, 0.5, 1}));
  EXPECT_EQ(axis_ticks(3, 3, 4), (Ticks{3}));
  EXPECT_LE(axis_ticks(1e18, 1e18 + 256, 5).size(), 11u);
  for (const double scale : {1e-12, 1e-3, 1.0, 7e5, 1e12}) {
    const Ticks ticks = axis_ticks(1.3 * scale, 9.7 * scale, 5);
    EXPECT_GE(ticks.size(), 3u);
    EXPECT_LE(ticks.size(), 6u);
  }
  EXPECT_EQ(short_number(0), "0");
  EXPECT_EQ(short_number(1500), "1500");
  EXPECT_EQ(short_number(20'000), "20k");
  EXPECT_EQ(short_number(12'500'000), "12.5M");
  EXPECT_EQ(short_number(-3e9), "-3B");
  EXPECT_EQ(short_number(0.00003), "3e-05");
}

TEST(HtmlChart, StrangeValues) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  const auto chart = [](std::vector<double> x, std::vector<double> y, bool log = false) {
    return render_chart({.title = "t", .x_label = "x", .series = {{"s", x, y}}, .log_y = log});
  };
  EXPECT_EQ(chart({}, {}), "");
  EXPECT_EQ(chart({1, 2}, {nan, infinity}), "");
  EXPECT_THROW(chart({1, 2}, {1}), UsageError);
  for (const std::string& html :
       {chart({5}, {3}), chart({5}, {0}), chart({1, 2, 3}, {1, nan, 2}),
        chart({1, 2, nan}, {1, -infinity, 2}), chart({2, 1, 3}, {1, 1, 1}),
        chart({1, 2, 3}, {-1e100, 1e100, 1e300}), chart({1, 2}, {1e-99, 1e99}, true),
        chart({1, 2}, {1e-300, 1}, true), chart({1e15, 1e15 + 1}, {1e15, 1e15 + 0.25}),
        chart({1e18, 1e18 + 256}, {1, 2}), chart({1, 2}, {0, 10}, true),
        chart({1, 2}, {3, 3}, true)}) {
    EXPECT_EQ(count(html, "class=\"line\""), 1u);
    for (const char* bad : {"nan", "inf", "d=\"\""}) EXPECT_EQ(count(html, bad), 0u) << html;
    EXPECT_GE(count(html, "class=\"yt\""), 1u) << html;
  }
  // A gap: two strokes.
  EXPECT_EQ(count(chart({1, 2, 3}, {1, nan, 2}), "M0.0"), 1u);
}

TEST(HtmlChart, ThinsLongSeriesAndKeepsSpikes) {
  ReportSeries series{"s", {}, {}};
  for (int i = 0; i < 200'000; ++i) {
    series.x.push_back(i);
    series.y.push_back(i == 123'456 ? 50.0 : 1.0);
  }
  const std::string html = render_chart({.title = "t", .x_label = "", .series = {series}});
  EXPECT_LT(html.size(), 100'000u);
  EXPECT_EQ(count(html, "\"123456\",\"50\""), 1u);
}

TEST(HtmlReport, SelfContainedAndEscaped) {
  ReportData data = sample();
  const std::string attack = "</script></style><script>alert(1)</script><img src=x onerror=a>\"'&";
  data.title = data.subtitle = data.config = attack;
  data.figures = {{attack, attack, attack}};
  data.charts[0].title = data.charts[0].x_label = data.charts[0].series[1].name = attack;
  data.scores[0].name = data.scores[0].note = attack;
  data.chat[0] = {attack, attack};
  data.samples[0] = {attack, attack, attack};
  data.tables[0] = {attack, {{attack, attack}}};
  const std::string html = render_report(data);
  EXPECT_EQ(count(html, "<script>"), 1u);
  EXPECT_EQ(count(html, "</script>"), 1u + data.charts.size());
  EXPECT_EQ(count(html, "<style>"), 1u);
  EXPECT_EQ(count(html, "</style>"), 1u);
  EXPECT_EQ(count(html, "<img"), 0u);
  const std::string page = render_report(sample());
  for (const char* external : {"http:", "https:", "src=", "url(", "@import", "<link"}) {
    EXPECT_EQ(count(page, external), 0u) << external;
  }
}

TEST(HtmlReport, EmptyPartsAreLeftOut) {
  const std::string html = render_report({.title = "only a title"});
  EXPECT_EQ(count(html, "<section"), 0u);
  EXPECT_EQ(count(html, "only a title"), 2u);
  EXPECT_EQ(count(render_report(sample()), "<section"), 7u);
}

TEST(HtmlReport, ScoresMustBeShares) {
  ReportData data;
  for (const ReportScore& bad : {ReportScore{"a", 1.5, 0, 2}, ReportScore{"a", 0.5, 0.6, 0.7},
                                 ReportScore{"a", 0.5, 0.4, 0.45}, ReportScore{"a", -1, -2, 0},
                                 ReportScore{"a", std::nan(""), 0, 1}}) {
    data.scores = {bad};
    EXPECT_THROW(render_report(data), UsageError);
  }
}

// To look at: STEPSTONE_REPORT=/tmp/report.html stepstone_io_tests --gtest_filter=HtmlReport.Writes
TEST(HtmlReport, Writes) {
  ScratchFolder folder;
  const char* kept = std::getenv("STEPSTONE_REPORT");
  const std::filesystem::path path = kept != nullptr ? kept : folder / "report.html";
  write_report(path, sample());
  EXPECT_EQ(read_file(path), render_report(sample()));
}

}  // namespace
}  // namespace stepstone
