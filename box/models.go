package box

import (
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/blindbox/blindbox/model"
	"github.com/blindbox/blindbox/policy"
)

// maxModel is the largest model file in bytes.
const maxModel = 2 << 30

// loadModels reads the models of a policy and refuses bytes that are not those
// that it names.
func loadModels(p *policy.Policy, builtin map[string][]byte) (http.Handler, error) {
	loaded := make([]model.Loaded, 0, len(p.Models))
	for _, m := range p.Models {
		data, err := modelBytes(m, builtin)
		if err != nil {
			return nil, err
		}
		if sum := sha256.Sum256(data); m.SHA256 != [32]byte{} && sum != m.SHA256 {
			return nil, fmt.Errorf("box: model %s has the digest sha256:%x, expected sha256:%x", m.Name, sum, m.SHA256)
		}
		l, err := model.Load(m.Name, data)
		if err != nil {
			return nil, fmt.Errorf("box: model %s: %w", m.Name, err)
		}
		loaded = append(loaded, l)
	}
	h, err := model.NewServer(loaded, model.WithBodyLimit(p.Limits.Request), model.WithInFlight(p.Limits.Concurrent))
	if err != nil {
		return nil, fmt.Errorf("box: %w", err)
	}
	return h, nil
}

// modelOf returns the name of the model that a request is for. Package model finds
// it in the same way; an app's requests are for none.
func (b *Box) modelOf(r *http.Request) string {
	if len(b.policy.Models) == 0 {
		return ""
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(parts) < 3 || parts[0] != "v2" || parts[1] != "models" {
		return ""
	}
	return parts[2]
}

func modelBytes(m policy.Model, builtin map[string][]byte) ([]byte, error) {
	if m.Builtin != "" {
		data, ok := builtin[m.Builtin]
		if !ok || len(data) == 0 {
			return nil, fmt.Errorf("box: model %s: this program has no built-in model %q, expected one of %q", m.Name, m.Builtin, slices.Sorted(maps.Keys(builtin)))
		}
		return data, nil
	}
	if m.SHA256 == [32]byte{} {
		return nil, fmt.Errorf("box: model %s: a file without a digest", m.Name)
	}
	f, err := os.Open(m.Path)
	if err != nil {
		return nil, fmt.Errorf("box: model %s: %w", m.Name, err)
	}
	defer f.Close()
	// A device or a pipe in the file's place would never end.
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("box: model %s: %s is not a regular file", m.Name, m.Path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxModel+1))
	if err != nil || len(data) > maxModel {
		return nil, fmt.Errorf("box: model %s: cannot read %s, or over %d bytes: %v", m.Name, m.Path, maxModel, err)
	}
	return data, nil
}
