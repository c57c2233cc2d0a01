import htsjdk.samtools.QueryInterval;
import htsjdk.samtools.SAMRecord;
import htsjdk.samtools.SAMRecordIterator;
import htsjdk.samtools.SamInputResource;
import htsjdk.samtools.SamReader;
import htsjdk.samtools.SamReaderFactory;
import htsjdk.samtools.ValidationStringency;
import java.net.URI;

/** Prints records as SAM. Arguments: htsget URL, then regions as CONTIG START END (1-based, closed); without: all. */
public final class Regions {
    public static void main(String[] arguments) throws Exception {
        SamReaderFactory factory = SamReaderFactory.makeDefault().validationStringency(ValidationStringency.SILENT);
        try (SamReader reader = factory.open(SamInputResource.of(new URI(arguments[0])))) {
            QueryInterval[] intervals = new QueryInterval[(arguments.length - 1) / 3];
            for (int i = 0; i < intervals.length; i++) {
                int reference = reader.getFileHeader().getSequenceIndex(arguments[1 + 3 * i]);
                intervals[i] = new QueryInterval(
                    reference, Integer.parseInt(arguments[2 + 3 * i]), Integer.parseInt(arguments[3 + 3 * i]));
            }
            try (SAMRecordIterator records = intervals.length == 0
                    ? reader.iterator() : reader.queryOverlapping(QueryInterval.optimizeIntervals(intervals))) {
                while (records.hasNext()) {
                    SAMRecord record = records.next();
                    System.out.print(record.getSAMString());
                }
            }
        }
    }
}
