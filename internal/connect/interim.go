package connect

import "net/http"

// finalOnly keeps a box's interim answers (RFC 9110, section 15.2) to itself. Python's
// http.client, on which requests and urllib3 stand, takes a 103 for the answer, and the
// answer then for that of the next request on the connection: what was meant for one user
// of a program reaches another. And their headers do not pass through modify.
type finalOnly struct{ http.ResponseWriter }

// Unwrap is for [http.ResponseController].
func (w finalOnly) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements [http.ResponseWriter].
func (w finalOnly) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		w.ResponseWriter.WriteHeader(status)
	}
}
