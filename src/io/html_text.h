// Text in HTML.
#pragma once

#include <string>
#include <string_view>

namespace stepstone {

// `text` for element content and quoted attributes: markup characters become references; what is
// not UTF-8, and control characters but tab and newline, become U+FFFD.
std::string html_escape(std::string_view text);

}  // namespace stepstone
