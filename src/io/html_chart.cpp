#include "io/html_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/error.h"
#include "io/html_text.h"
#include "io/json.h"
#include "io/utf8.h"

namespace stepstone {
namespace {

// What lies beyond is as good as infinite, and would overflow in the arithmetic below.
constexpr double kLargest = 1e100;
// More points than this are thinned to the lowest and highest of each of kMaxPoints / 2 stretches.
constexpr std::size_t kMaxPoints = 600;
constexpr int kColours = 6;       // --c0 … --c5 of the style sheet
constexpr double kExtent = 1000;  // of the SVG, before stretching

struct Point {
  double x, y;
};
using Line = std::vector<Point>;

Line sorted_points(const ReportSeries& series) {
  require<UsageError>(series.x.size() == series.y.size(), "report: series '{}' has {} x and {} y",
                      series.name, series.x.size(), series.y.size());
  Line line;
  for (std::size_t i = 0; i < series.x.size(); ++i) {
    if (!(std::abs(series.x[i]) <= kLargest)) continue;
    const bool visible = std::abs(series.y[i]) <= kLargest;
    line.push_back({series.x[i], visible ? series.y[i] : std::nan("")});
  }
  std::stable_sort(line.begin(), line.end(),
                   [](const Point& a, const Point& b) { return a.x < b.x; });
  return line;
}

// Adds the exponential moving average of the points, without the bias to their start, to `to`.
template <typename From, typename To>
void add_average(From from, From end, To to, double keep) {
  double sum = 0, weight = 0;
  for (; from != end; ++from, ++to) {
    sum = keep * sum + from->y;
    weight = keep * weight + 1;
    to->y += sum / weight;
  }
}

// The mean of the averages from both sides, each over about a hundredth of the points: a one-sided
// average would run behind a curve that falls.
Line smoothed(Line line) {
  std::erase_if(line, [](const Point& p) { return !std::isfinite(p.y); });
  const double keep = 1 - 1 / std::max(2.0, static_cast<double>(line.size()) / 100);
  Line result;
  for (const Point& p : line) result.push_back({p.x, 0});
  add_average(line.begin(), line.end(), result.begin(), keep);
  add_average(line.rbegin(), line.rend(), result.rbegin(), keep);
  for (Point& p : result) p.y /= 2;
  return result;
}

Line thinned(const Line& line) {
  if (line.size() <= kMaxPoints) return line;
  constexpr std::size_t kStretches = kMaxPoints / 2;
  Line result;
  for (std::size_t i = 0; i < kStretches; ++i) {
    const auto begin = line.begin() + static_cast<std::ptrdiff_t>(i * line.size() / kStretches);
    const auto end = line.begin() + static_cast<std::ptrdiff_t>((i + 1) * line.size() / kStretches);
    const auto broken =
        std::find_if(begin, end, [](const Point& p) { return !std::isfinite(p.y); });
    if (broken != end) {
      result.push_back(*broken);
      continue;
    }
    auto [low, high] =
        std::minmax_element(begin, end, [](const Point& a, const Point& b) { return a.y < b.y; });
    if (high < low) std::swap(low, high);
    result.push_back(*low);
    if (high != low) result.push_back(*high);
  }
  return result;
}

// Maps values to [0, 1], linearly or by their logarithm.
struct Axis {
  double low = std::numeric_limits<double>::infinity();
  double high = -low;
  bool log = false;

  void include(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  // Leaves room around the extremes; a single value gets an interval.
  void widen(double share) {
    // An interval that the last digits of a double can hardly divide counts as one value.
    const bool one = high - low <= 1e-9 * std::max(std::abs(low), std::abs(high));
    if (log) {
      const double factor = one ? 2 : std::pow(high / low, share);
      low /= factor;
      high *= factor;
    } else {
      const double margin = one ? std::max(std::abs(low), 1.0) / 2 : share * (high - low);
      low -= margin;
      high += margin;
    }
  }
  double at(double value) const {
    return log ? std::log(value / low) / std::log(high / low) : (value - low) / (high - low);
  }
};

std::vector<double> log_ticks(double low, double high) {
  std::vector<double> ticks;
  for (int power = static_cast<int>(std::floor(std::log10(low))); std::pow(10, power) <= high;
       ++power) {
    for (const int digit : {1, 2, 5}) {
      const double tick = digit * std::pow(10, power);
      if (tick >= low && tick <= high) ticks.push_back(tick);
    }
  }
  if (ticks.size() > 7) {
    std::erase_if(ticks, [](double t) {
      const double power = std::log10(t);
      return std::abs(power - std::round(power)) > 1e-9;
    });
  }
  return ticks.size() < 2 ? axis_ticks(low, high, 5) : ticks;
}

std::string svg_path(const Line& line, const Axis& x, const Axis& y) {
  std::string path;
  bool drawing = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const Point& p = line[i];
    if (!std::isfinite(p.y)) {
      drawing = false;
      continue;
    }
    path += fmt::format("{}{:.1f} {:.1f}", drawing ? "L" : "M", kExtent * x.at(p.x),
                        kExtent * (1 - y.at(p.y)));
    // A point without neighbours shows as a dot: the caps of a line of no length.
    const bool alone = !drawing && (i + 1 == line.size() || !std::isfinite(line[i + 1].y));
    if (alone) path += "h0";
    drawing = true;
  }
  return path;
}

// What the page's script shows under the pointer: places in [0, 1] and the values as text.
Json hover_points(const Line& line, const Axis& x, const Axis& y) {
  Json points = Json::array();
  for (const Point& p : line) {
    if (!std::isfinite(p.y)) continue;
    points.push_back({std::round(1e4 * x.at(p.x)) / 1e4, std::round(1e4 * (1 - y.at(p.y))) / 1e4,
                      fmt::format("{:.6g}", p.x), fmt::format("{:.4g}", p.y)});
  }
  return points;
}

struct Curve {
  std::string name;
  Line line;
  Line faint;
};

std::vector<Curve> curves_of(const ReportChart& chart) {
  std::vector<Curve> curves;
  for (const ReportSeries& series : chart.series) {
    const Line all = sorted_points(series);
    const bool any =
        std::any_of(all.begin(), all.end(), [](const Point& p) { return std::isfinite(p.y); });
    if (!any) continue;
    if (series.noisy && all.size() > 20) {
      curves.push_back({series.name + " (smoothed)", thinned(smoothed(all)), thinned(all)});
    } else {
      curves.push_back({series.name, thinned(all), {}});
    }
  }
  return curves;
}

std::string render_labels(const ReportChart& chart, const Axis& x, const Axis& y,
                          const std::vector<double>& x_ticks, const std::vector<double>& y_ticks) {
  std::string html;
  for (const double tick : y_ticks) {
    html += fmt::format("<span class=\"yt\" style=\"top:{:.2f}%\">{}</span>",
                        100 * (1 - y.at(tick)), short_number(tick));
  }
  for (const double tick : x_ticks) {
    html += fmt::format("<span class=\"xt\" style=\"left:{:.2f}%\">{}</span>", 100 * x.at(tick),
                        short_number(tick));
  }
  return html + fmt::format("<span class=\"xl\">{}</span>", html_escape(chart.x_label));
}

std::string render_svg(const std::vector<Curve>& curves, const Axis& x, const Axis& y,
                       const std::vector<double>& y_ticks) {
  std::string html = fmt::format(
      "<svg viewBox=\"0 0 {0} {0}\" preserveAspectRatio=\"none\" aria-hidden=\"true\">", kExtent);
  for (const double tick : y_ticks) {
    html += fmt::format("<path class=\"grid\" d=\"M0 {:.1f}H{}\"/>", kExtent * (1 - y.at(tick)),
                        kExtent);
  }
  for (const bool faint : {true, false}) {
    for (std::size_t i = 0; i < curves.size(); ++i) {
      const Line& line = faint ? curves[i].faint : curves[i].line;
      if (line.empty()) continue;
      html += fmt::format("<path class=\"{}\" style=\"stroke:var(--c{})\" d=\"{}\"/>",
                          faint ? "faint" : "line", i % kColours, svg_path(line, x, y));
    }
  }
  return html + "</svg>";
}

// JSON within <script>: nothing in it may look like the end of the element.
std::string script_json(const Json& json) {
  std::string text;
  for (const char c : dump_json(json)) {
    if (c == '<') {
      text += "\\u003c";
    } else {
      text += c;
    }
  }
  return text;
}

}  // namespace

std::vector<double> axis_ticks(double low, double high, int count) {
  if (!(high > low) || count < 1) return {low};
  const double rough = (high - low) / count;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double factor : {1.0, 2.0, 2.5, 5.0}) {
    if (factor * power >= rough * (1 - 1e-9)) {
      step = factor * power;
      break;
    }
  }
  std::vector<double> ticks;
  const double first = std::ceil(low / step - 1e-9);
  for (int i = 0; i <= 2 * count && (first + i) * step <= high + 1e-9 * step; ++i) {
    ticks.push_back(first + i == 0 ? 0 : (first + i) * step);
  }
  return ticks;
}

std::string short_number(double value) {
  const double size = std::abs(value);
  for (const auto& [unit, suffix] : {std::pair{1e9, "B"}, {1e6, "M"}, {1e4, "k"}}) {
    if (size >= unit && size < 1e15) {
      return fmt::format("{:.6g}{}", value / (unit == 1e4 ? 1e3 : unit), suffix);
    }
  }
  return fmt::format("{:.6g}", value);
}

std::string render_chart(const ReportChart& chart) {
  const std::vector<Curve> curves = curves_of(chart);
  if (curves.empty()) return "";
  Axis x, y;
  for (const Curve& curve : curves) {
    for (const Line& line : {curve.line, curve.faint}) {
      for (const Point& p : line) {
        x.include(p.x);
        if (std::isfinite(p.y)) y.include(p.y);
      }
    }
  }
  y.log = chart.log_y && y.low > 1 / kLargest;
  y.widen(0.06);
  if (x.high - x.low <= 1e-9 * std::abs(x.high)) x.widen(0);
  const std::vector<double> x_ticks = axis_ticks(x.low, x.high, 6);
  const std::vector<double> y_ticks =
      y.log ? log_ticks(y.low, y.high) : axis_ticks(y.low, y.high, 5);

  std::string legend;
  Json hover = Json::array();
  for (std::size_t i = 0; i < curves.size(); ++i) {
    const Point& last = curves[i].line.back();
    legend += fmt::format(
        "<li><i style=\"background:var(--c{})\"></i>{} <b>{}</b></li>", i % kColours,
        html_escape(curves[i].name),
        std::isfinite(last.y) ? fmt::format("{:.4g}", last.y) : std::string("not finite"));
    hover.push_back({{"name", to_utf8_lossy(curves[i].name)},
                     {"colour", i % kColours},
                     {"points", hover_points(curves[i].line, x, y)}});
  }
  return fmt::format(
      "<figure class=\"chart\"><figcaption>{}</figcaption><ul class=\"legend\">{}</ul>"
      "<div class=\"plot\" role=\"img\" aria-label=\"{}\">{}{}<div class=\"hover\" "
      "hidden></div></div><script type=\"application/json\">{}</script></figure>\n",
      html_escape(chart.title), legend, html_escape(chart.title), render_svg(curves, x, y, y_ticks),
      render_labels(chart, x, y, x_ticks, y_ticks),
      script_json({{"x", to_utf8_lossy(chart.x_label)}, {"series", hover}}));
}

}  // namespace stepstone
