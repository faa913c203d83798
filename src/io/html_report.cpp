#include "io/html_report.h"

#include <fmt/format.h>

#include "core/error.h"
#include "io/atomic_file.h"
#include "io/html_chart.h"
#include "io/html_style.h"
#include "io/html_text.h"

namespace stepstone {
namespace {

// Three stones, the last the highest.
constexpr const char* kLogo =
    "<svg viewBox=\"0 0 34 34\" aria-hidden=\"true\"><ellipse cx=\"7\" cy=\"27\" rx=\"6.5\" "
    "ry=\"3.6\"/><ellipse cx=\"17\" cy=\"18.5\" rx=\"7\" ry=\"3.9\" opacity=\".75\"/><ellipse "
    "cx=\"26.5\" cy=\"9\" rx=\"7.2\" ry=\"4.2\" opacity=\".5\"/></svg>";

constexpr const char* kPolicy =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

// A part of the page with its place in the menu; nothing when `body` is empty.
struct Section {
  const char* id;
  const char* title;
  std::string body;
};

std::string render_figures(const ReportData& data) {
  std::string html;
  for (const ReportFigure& figure : data.figures) {
    html +=
        fmt::format("<div class=\"tile\"><span>{}</span><b>{}</b><small>{}</small></div>",
                    html_escape(figure.label), html_escape(figure.value), html_escape(figure.note));
  }
  return html.empty() ? "" : "<div class=\"tiles\">" + html + "</div>";
}

std::string render_charts(const ReportData& data) {
  std::string html;
  for (const ReportChart& chart : data.charts) html += render_chart(chart);
  return html.empty() ? "" : "<div class=\"grid\">" + html + "</div>";
}

std::string render_scores(const ReportData& data) {
  std::string html;
  for (const ReportScore& score : data.scores) {
    require<UsageError>(
        0 <= score.low && score.low <= score.value && score.value <= score.high && score.high <= 1,
        "report: score '{}' is not within its interval in [0, 1]", score.name);
    html += fmt::format(
        "<div class=\"score\"><div>{}<small>{}</small></div>"
        "<div class=\"bar\"><i style=\"width:{:.2f}%\"></i>"
        "<s style=\"left:{:.2f}%;width:{:.2f}%\"></s></div>"
        "<div class=\"value\"><b>{:.1f}&#8239;%</b><small>{:.1f} – {:.1f}</small></div></div>",
        html_escape(score.name), html_escape(score.note), 100 * score.value, 100 * score.low,
        100 * (score.high - score.low), 100 * score.value, 100 * score.low, 100 * score.high);
  }
  if (html.empty()) return "";
  return fmt::format(
      "<div class=\"card\">{}</div><p class=\"note\">Share of right answers, with its "
      "{:.4g}&#8239;% confidence interval.</p>",
      html, 100 * data.confidence);
}

std::string render_chat(const ReportData& data) {
  std::string html;
  for (const ReportMessage& message : data.chat) {
    const bool named = message.role == "user" || message.role == "system";
    html += fmt::format("<div class=\"{}\" dir=\"auto\"><small>{}</small>{}</div>",
                        named ? message.role : "other", html_escape(message.role),
                        html_escape(message.text));
  }
  return html.empty() ? "" : "<div class=\"card chat\">" + html + "</div>";
}

std::string render_samples(const ReportData& data) {
  std::string html;
  for (const ReportSample& sample : data.samples) {
    html += fmt::format(
        "<div class=\"card sample\"><small>{}</small><p "
        "dir=\"auto\"><strong>{}</strong>{}</p></div>",
        html_escape(sample.caption), html_escape(sample.prompt), html_escape(sample.text));
  }
  return html.empty() ? "" : "<div class=\"grid\">" + html + "</div>";
}

std::string render_tables(const ReportData& data) {
  std::string html;
  for (const ReportTable& table : data.tables) {
    html += fmt::format("<div class=\"card\"><h3>{}</h3><table>", html_escape(table.title));
    for (const auto& [key, value] : table.rows) {
      html += fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td></tr>", html_escape(key),
                          html_escape(value));
    }
    html += "</table></div>";
  }
  return html.empty() ? "" : "<div class=\"grid\">" + html + "</div>";
}

std::string render_config(const ReportData& data) {
  if (data.config.empty()) return "";
  return fmt::format("<pre>{}</pre>", html_escape(data.config));
}

}  // namespace

std::string render_report(const ReportData& data) {
  const Section sections[] = {
      {"curves", "Curves", render_charts(data)},   {"scores", "Scores", render_scores(data)},
      {"chat", "Chat", render_chat(data)},         {"samples", "Samples", render_samples(data)},
      {"details", "Details", render_tables(data)}, {"recipe", "Recipe", render_config(data)}};
  std::string menu, body;
  for (const Section& section : sections) {
    if (section.body.empty()) continue;
    menu += fmt::format("<a href=\"#{}\">{}</a>", section.id, section.title);
    body += fmt::format("<section id=\"{}\"><h2>{}</h2>{}</section>\n", section.id, section.title,
                        section.body);
  }
  const std::string figures = render_figures(data);
  if (!figures.empty()) body = fmt::format("<section>{}</section>\n", figures) + body;
  const std::string title = html_escape(data.title);
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n"
      "<header><div><div class=\"head\">{}<div><h1>{}</h1><p>{}</p></div></div>"
      "<nav>{}</nav></div></header>\n<main>\n{}</main>\n"
      "<footer>Made by Stepstone. This page is one file and loads nothing.</footer>\n"
      "<script>{}</script>\n</body>\n</html>\n",
      kPolicy, title, kReportStyle, kLogo, title, html_escape(data.subtitle), menu, body,
      kReportScript);
}

void write_report(const std::filesystem::path& path, const ReportData& data) {
  write_file(path, render_report(data));
}

}  // namespace stepstone
