package box

import "testing"

// TestConnectionThatNobodyReads: over HTTP/2 the deadlines of answers end
// streams only, so net/http must be told when a connection has stalled.
func TestConnectionThatNobodyReads(t *testing.T) {
	srv := new(Box).server(t.Context())
	if srv.HTTP2 == nil || srv.HTTP2.WriteByteTimeout != writeLimit {
		t.Errorf("a connection on which nothing can be written stays open: %+v", srv.HTTP2)
	}
}
