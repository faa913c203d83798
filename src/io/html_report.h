// One HTML file about a run: no external resource, no build step, readable on a telephone, in the
// dark and on paper. All text is escaped; the page's own policy forbids it to load anything.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace stepstone {

// A curve. Points may come in any order; those that are not finite, or beyond 1e100, leave a gap.
struct ReportSeries {
  std::string name = {};
  std::vector<double> x = {}, y = {};  // as many of each; throws UsageError otherwise
  // Drawn faintly, with its exponential moving average on top.
  bool noisy = false;
};

struct ReportChart {
  std::string title = {};
  std::string x_label = {};  // shown under the axis: "step"
  std::vector<ReportSeries> series = {};
  bool log_y = false;  // ignored unless every value is positive
};

// A number that matters, shown large.
struct ReportFigure {
  std::string label, value, note = {};
};

struct ReportTable {
  std::string title = {};
  std::vector<std::pair<std::string, std::string>> rows = {};
};

// A share of right answers in [0, 1] and the ends of its confidence interval.
struct ReportScore {
  std::string name = {};
  double value = 0, low = 0, high = 0;
  std::string note = {};  // "500 questions"
};

struct ReportSample {
  std::string caption = {};  // "step 400, temperature 0.8"
  std::string prompt = {};   // stands out at the head of the text
  std::string text = {};
};

struct ReportMessage {
  std::string role = {};  // "user", "assistant", "system" or anything else
  std::string text = {};
};

// Empty parts are left out of the page.
struct ReportData {
  std::string title = {};
  std::string subtitle = {};
  std::vector<ReportFigure> figures = {};
  std::vector<ReportChart> charts = {};
  std::vector<ReportScore> scores = {};
  double confidence = 0.95;
  std::vector<ReportMessage> chat = {};
  std::vector<ReportSample> samples = {};
  std::vector<ReportTable> tables = {};
  std::string config = {};  // the recipe, as text
};

std::string render_report(const ReportData& data);
// Atomic. Throws IoError.
void write_report(const std::filesystem::path& path, const ReportData& data);

}  // namespace stepstone
