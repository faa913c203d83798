// TensorBoard event files: TFRecord framing around the protocol buffers tensorflow.Event and
// tensorflow.Summary (tensorboard/compat/proto/{event,summary}.proto), encoded by hand.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "io/file.h"

namespace stepstone {

// One event file of a run. Each call is in the file when it returns (one write, no buffer), so
// that a killed run loses nothing; a write that fails leaves the file as it was before.
class TensorBoardWriter {
 public:
  struct Scalar {
    std::string tag;
    float value;
  };

  // Begins a new file in `folder` (made when absent), later by name than those that are there.
  // A run that resumes at `purge_step` hides what its earlier files hold from that step on.
  // Throws IoError, as all calls do.
  explicit TensorBoardWriter(const std::filesystem::path& folder,
                             std::optional<std::int64_t> purge_step = std::nullopt);

  void scalar(std::string_view tag, std::int64_t step, float value);
  void scalars(std::int64_t step, std::span<const Scalar> values);
  // Shown on the Text page, as Markdown.
  void text(std::string_view tag, std::int64_t step, std::string_view markdown);

  const std::filesystem::path& path() const { return file_.path(); }

 private:
  void append(std::string_view event);

  File file_;
  std::uint64_t size_ = 0;
};

}  // namespace stepstone
