// Ends a stream of text before the string, of some, that is complete first (the longest of several
// at once), wherever the pieces are cut.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace stepstone {

class StopFilter {
 public:
  // Throws UsageError for a stop string that is empty or not UTF-8.
  explicit StopFilter(std::vector<std::string> stops);

  // What may be shown after this piece. Text that could be the beginning of a stop string is held
  // back until it is clear that it is not; nothing comes after stopped().
  std::string push(std::string_view piece);
  // What was held back, at the end of a stream that did not stop here.
  std::string flush();

  bool stopped() const { return !found_.empty(); }
  const std::string& found() const { return found_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  std::string found_;
};

}  // namespace stepstone
