// GET /conversations, and GET, POST, DELETE /conversations/ID.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "serve/conversation_store.h"
#include "serve/http_server.h"

namespace stepstone {

// For one thread at a time. Throws ApiError: 400 for what the client does wrong, 404 for what is
// not there, 507 where the file cannot be written.
class ConversationApi {
 public:
  // A file that cannot be used leaves what is said in memory; clients are told why.
  explicit ConversationApi(const std::filesystem::path& file);

  // What keeps conversations from outliving the server; empty: nothing.
  const std::string& problem() const { return problem_; }

  HttpResponse list(const HttpRequest& request, const std::string& holder);
  HttpResponse read(const HttpRequest& request, const std::string& holder);
  HttpResponse write(const HttpRequest& request, const std::string& holder);
  HttpResponse remove(const HttpRequest& request, const std::string& holder);

 private:
  std::string problem_;
  std::optional<ConversationStore> store_;
};

}  // namespace stepstone
