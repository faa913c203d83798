// The pages and what they load: the files of web/, part of the program.
#pragma once

#include <string_view>

namespace stepstone {

struct WebFile {
  std::string_view content_type, content;
};

// Null for a path that is none of them.
const WebFile* web_file(std::string_view path);

}  // namespace stepstone
