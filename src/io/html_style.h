// The style sheet and the script of a report page.
#pragma once

namespace stepstone {

extern const char* const kReportStyle;
// Shows the values under the pointer on a chart. The page is whole without it.
extern const char* const kReportScript;

}  // namespace stepstone
