module plainsight.test/offsets

go 1.19
