// For tests alone.
#pragma once

namespace stepstone {

// While one lives, parallel_for cuts its work into pieces of one, whatever grain is asked for, so
// that the smallest case is split; and with `backwards` it takes them from the last to the first,
// on the calling thread. A result that depends on who takes a piece, or when, then shows. One at a
// time.
class FinestPieces {
 public:
  explicit FinestPieces(bool backwards);
  ~FinestPieces();
  FinestPieces(const FinestPieces&) = delete;
  FinestPieces& operator=(const FinestPieces&) = delete;
};

}  // namespace stepstone
