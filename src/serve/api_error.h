// Errors as OpenAI's API words them.
#pragma once

#include "core/error.h"
#include "io/json.h"
#include "serve/http_server.h"

namespace stepstone {

// The client is told: HTTP status, message, and the parameter at fault where there is one.
class ApiError : public Error {
 public:
  // With 429 and 503 the client is told to come back in `retry_after` seconds.
  ApiError(int status, const std::string& message, std::string param = {}, std::string code = {},
           std::int64_t retry_after = 1)
      : Error(message),
        status_(status),
        param_(std::move(param)),
        code_(std::move(code)),
        retry_after_(retry_after) {}
  int status() const { return status_; }
  // {"error": {"message", "type", "param", "code"}}
  Json body() const;
  HttpResponse response() const;

 private:
  int status_;
  std::string param_, code_;
  std::int64_t retry_after_;
};

// Whatever is being thrown, as the client should see it.
ApiError current_api_error();

std::string http_error_body(int status, std::string_view message);

}  // namespace stepstone
