// The curves of a report: stretched SVG paths under HTML labels, so that text keeps its size at
// every width.
#pragma once

#include <string>
#include <vector>

#include "io/html_report.h"

namespace stepstone {

// A <figure>, or "" when there is no finite point.
std::string render_chart(const ReportChart& chart);

// About `count` round positions (1, 2, 2.5 or 5 times a power of ten) within [low, high].
std::vector<double> axis_ticks(double low, double high, int count);

// A short form: 12500000 as "12.5M", 0.00003 as "3e-05".
std::string short_number(double value);

}  // namespace stepstone
