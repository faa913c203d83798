// Jinja templates as chat templates use them: the language of Jinja 3.1 with the settings, filters
// and functions that Hugging Face `transformers` gives it, in a sandbox. There is no way out to
// files, includes or the host; depth, steps and the size of the output are bounded.
//
// Strings keep track of where their bytes came from (text.h), so whoever tokenises the output can
// tell the template's own words from the user's.
#pragma once

#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "jinja/value.h"

namespace stepstone::jinja {

struct RenderOptions {
  // Evaluations, loop rounds, and every 16 bytes that a string operation copies.
  std::uint64_t max_steps = 20'000'000;
  std::uint64_t max_output = std::uint64_t{64} << 20;  // bytes; of any string on the way too
  int max_depth = 1000;  // of evaluations within evaluations, macro calls among them
  std::optional<std::time_t> now = std::nullopt;  // for strftime_now(); the clock's where not given
};

struct Node;

class Template {
 public:
  // `name` is what errors call the template. Throws FormatError(name, "line L, column C", problem)
  // for text that is no template, and for tags, filters and tests that do not exist.
  Template(std::string_view source, std::string name);

  // `variables` is a dict. Throws FormatError(name, "line L, column C", problem) for an error of
  // the template, a budget spent included, and UsageError for what it refuses by
  // raise_exception(). May be called from many threads at once.
  Text render(const Value& variables, const RenderOptions& options = {}) const;

  const std::string& name() const { return name_; }

 private:
  std::string name_;
  std::shared_ptr<const std::vector<Node>> body_;
};

}  // namespace stepstone::jinja
