// Evaluates queries over given series, with the engine of Prometheus.
//
// Standard input is a JSON list of queries; standard output is the list of what came of each. A series has one sample per minute.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
)

const (
	step       = time.Minute
	timeout    = 10 * time.Second
	samplesMax = 100_000
)

type series struct {
	Labels map[string]string `json:"labels"`
	Values []float64         `json:"values"`
}

type query struct {
	Expr   string   `json:"expr"`
	Series []series `json:"series"`
}

type result struct {
	// The labels of what is true at the last sample.
	Found []map[string]string `json:"found"`
	Error string              `json:"error,omitempty"`
}

func main() {
	var queries []query
	if err := json.NewDecoder(os.Stdin).Decode(&queries); err != nil {
		fail("reading the queries", err)
	}
	promqlParser := parser.NewParser(parser.Options{})
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: samplesMax, Timeout: timeout, Parser: promqlParser})
	results := make([]result, len(queries))
	for i, each := range queries {
		found, err := each.run(engine)
		if err != nil {
			results[i].Error = err.Error()
		}
		results[i].Found = found
	}
	if err := json.NewEncoder(os.Stdout).Encode(results); err != nil {
		fail("writing the results", err)
	}
}

func (q query) run(engine *promql.Engine) ([]map[string]string, error) {
	folder, err := os.MkdirTemp("", "promql")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	db, err := tsdb.Open(folder, nil, nil, tsdb.DefaultOptions(), nil)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	end, err := q.fill(db)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	run, err := engine.NewInstantQuery(ctx, db, nil, q.Expr, end)
	if err != nil {
		return nil, err
	}
	defer run.Close()
	vector, err := run.Exec(ctx).Vector()
	if err != nil {
		return nil, err
	}
	found := []map[string]string{}
	for _, sample := range vector {
		found = append(found, sample.Metric.Map())
	}
	return found, nil
}

// Writes the series, and returns the time of the last sample.
func (q query) fill(db *tsdb.DB) (time.Time, error) {
	start := time.Unix(1_790_000_000, 0)
	end := start
	var appender storage.Appender = db.Appender(context.Background())
	for _, each := range q.Series {
		for i, value := range each.Values {
			at := start.Add(time.Duration(i) * step)
			if at.After(end) {
				end = at
			}
			if _, err := appender.Append(0, labels.FromMap(each.Labels), at.UnixMilli(), value); err != nil {
				return end, err
			}
		}
	}
	return end, appender.Commit()
}

func fail(what string, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
	os.Exit(1)
}
