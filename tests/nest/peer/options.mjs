// What both peers tell kafkajs: short waits, so that a rebalance is noticed within a fraction of
// a second, and the earliest offset, because Nest looks up "latest" only at its first fetch and
// would skip what was written between its join and that look-up.
export function kafkaOptions(brokers, groupId) {
  return {
    client: { clientId: 'nest-peer', brokers: brokers.split(',') },
    consumer: {
      groupId,
      sessionTimeout: 10000,
      rebalanceTimeout: 10000,
      heartbeatInterval: 200,
      maxWaitTimeInMs: 100,
    },
    subscribe: { fromBeginning: true },
  };
}
