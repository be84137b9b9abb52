import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;
import org.apache.kafka.common.utils.AppInfoParser;
import org.apache.kafka.common.utils.Utils;

/**
 * Writes partitions_java.json from the encoded keys of partitions.json, with Kafka's own client:
 *
 * <pre>
 *   python -c "import json; [print(r['encoded']) for r in json.load(open('partitions.json'))['rows']]" |
 *     java -cp kafka-clients.jar:slf4j-api.jar MakePartitions.java > partitions_java.json
 * </pre>
 */
public final class MakePartitions {
    private static final int[] COUNTS = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 50};

    public static void main(String[] arguments) throws Exception {
        List<String> rows = new ArrayList<>();
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        for (String hex = input.readLine(); hex != null; hex = input.readLine()) {
            rows.add(row(HexFormat.of().parseHex(hex), hex));
        }
        System.out.printf("{%n  \"made_with\": {\"kafka-clients\": \"%s\"},%n", AppInfoParser.getVersion());
        System.out.printf("  \"rows\": [%n%s%n  ]%n}%n", String.join(",\n", rows));
    }

    private static String row(byte[] key, String hex) {
        List<String> partitions = new ArrayList<>();
        List<String> counts = new ArrayList<>();
        for (int count : COUNTS) {
            counts.add(String.valueOf(count));
            partitions.add(String.valueOf(BuiltInPartitioner.partitionForKey(key, count)));
        }
        return String.format(
            "    {\"encoded\":\"%s\",\"murmur2\":%d,\"counts\":[%s],\"partitions\":[%s]}",
            hex, Utils.murmur2(key), String.join(",", counts), String.join(",", partitions));
    }
}
