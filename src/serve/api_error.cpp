#include "serve/api_error.h"

#include "infer/engine.h"
#include "io/utf8.h"

namespace stepstone {
namespace {

constexpr std::string_view kNoQuota = "insufficient_quota";

std::string_view type_of(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    case 503:
      return "unavailable_error";
    default:
      return status < 500 ? "invalid_request_error" : "server_error";
  }
}

Json or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }

}  // namespace

Json ApiError::body() const {
  return {{"error",
           {{"message", to_utf8_lossy(what())},
            {"type", code_ == kNoQuota ? kNoQuota : type_of(status_)},
            {"param", or_null(param_)},
            {"code", or_null(code_)}}}};
}

HttpResponse ApiError::response() const {
  HttpResponse response{status_, body().dump()};
  if (status_ == 429 || status_ == 503) {
    response.headers["Retry-After"] = std::to_string(retry_after_);
  }
  if (status_ == 401) response.headers["WWW-Authenticate"] = "Bearer";
  return response;
}

ApiError current_api_error() {
  try {
    throw;
  } catch (const ApiError& e) {
    return e;
  } catch (const QueueFull& e) {
    return {429, e.what(), {}, "queue_full"};
  } catch (const FormatError& e) {
    return {400, e.what(), e.field()};
  } catch (const UsageError& e) {
    return {400, e.what()};
  } catch (const std::bad_alloc&) {
    return {500, "out of memory"};
  } catch (const std::exception& e) {
    return {500, e.what()};
  }
}

std::string http_error_body(int status, std::string_view message) {
  return ApiError(status, std::string(message)).body().dump();
}

}  // namespace stepstone
