#include "core/error.h"

#include <cstring>

namespace stepstone {

IoError::IoError(std::string_view action, std::string_view path, int error_number)
    : Error(fmt::format("cannot {} {}: {}", action, path, std::strerror(error_number))),
      error_number_(error_number) {}

}  // namespace stepstone
